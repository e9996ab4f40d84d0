"""Params and files of the toy stages."""

import json
import os
from pathlib import Path

import yaml


def param(dotted):
    node = yaml.safe_load(Path(os.environ.get("SNAKEDVC_PARAMS", "params.yaml")).read_text())
    for key in dotted.split("."):
        node = node[key]
    return node


def write(path, value):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(value, sort_keys=True) + "\n")


def read(path):
    return json.loads(Path(path).read_text())

"""What `make` installs: constraints.txt pins every dependency within the package's bounds, and is what runs here."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAMED = [Requirement(r) for r in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]]
PINS = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
PINS = {canonicalize_name(name): pin for name, pin in PINS.items()}


@pytest.mark.parametrize("requirement", NAMED, ids=lambda r: r.name)
def test_pinned_within_its_bounds_and_installed_as_pinned(requirement):
    pin = PINS[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pin)
    installed = version(requirement.name).split("+")[0]  # torch+cpu is torch
    assert installed == pin, f"constraints.txt pins {requirement.name} {pin}, but the tests run with {installed}"


def test_the_bounds_that_verl_needs_beside_us():
    bounds = {r.name: str(r.specifier) for r in NAMED}
    assert PROJECT["requires-python"] == ">=3.11,<3.13"
    assert set(bounds["torch"].split(",")) == {">=2.11", "<2.14"}
    assert set(bounds["transformers"].split(",")) == {">=5.9", "<5.11"}

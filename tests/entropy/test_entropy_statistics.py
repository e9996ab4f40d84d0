"""A statistic of the attention row is declared once.  From there it reaches the kernels, the table and the rules."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tokenspectrum
from tokenspectrum.entropy.types import AttentionEntropy
from tokenspectrum.row_statistics import OF_EVERY_TOKEN, STATISTICS, asked, variants
from tokenspectrum.tables.attention import SCHEMA
from tokenspectrum.weighting.registry import make_rule

ADDED = """
    Statistic(
        "toy_largest",
        slot="toy",
        unit="share",
        about="largest entry of the row",
        variant="toy",
        optional=True,
        whole=lambda rows, options: rows.descending_RS[:, 0],
    ),
    *map(_support, SUPPORT_MASSES),
"""
USE = """
import json, torch
from dataclasses import fields
from tokenspectrum.entropy import attention_entropy, attention_rows
from tokenspectrum.rollout.statistics import AttentionStatistics
from tokenspectrum.row_statistics import asked, variants
from tokenspectrum.tables.attention import SCHEMA
from tokenspectrum.training.steplog import ROW_STATS
from tokenspectrum.training.backends.verl.request import AttentionRequest

torch.manual_seed(0)
q = torch.randn(40, 2, 8)
rows = attention_rows(q, q, [(0, p) for p in range(40)])
largest = torch.stack([row.max() for row in rows])
found = {}
for backend in ("reference", "torch"):
    result = attention_entropy(q, q, variants=("toy", "topk"), top_k=3, backend=backend)
    found[backend] = float((result.toy - largest).abs().max())
field = SCHEMA.field("toy_largest")
request = AttentionRequest((0,), "decision", 4, support=True)
print(json.dumps({
    "found": found,
    "none": attention_entropy(q, q).toy,
    "column": [str(field.type), field.nullable, field.metadata[b"description"].decode()],
    "scores": "toy_largest_N" in [field.name for field in fields(AttentionStatistics)],
    "row_stats": "toy_largest" in ROW_STATS,
    "asked": ["toy" in variants(asked(None, None, whole)) for whole in (True, False)],
    "verl": "toy" in request.variants and "toy" in [s.slot for s in request.statistics],
}))
"""


def test_a_statistic_that_is_added_to_the_list_reaches_kernel_table_and_trainers(tmp_path):
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(tokenspectrum.__file__).parent, tmp_path / "tokenspectrum", ignore=ignored)
    declared = tmp_path / "tokenspectrum" / "row_statistics.py"
    text = declared.read_text()
    assert text.count("    *map(_support, SUPPORT_MASSES),\n") == 1
    declared.write_text(text.replace("    *map(_support, SUPPORT_MASSES),\n", ADDED.lstrip("\n")))
    done = subprocess.run(
        [sys.executable, "-c", USE], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    assert max(said.pop("found").values()) < 2e-6
    assert said == {
        "none": None,
        "column": ["float", True, "largest entry of the row"],
        "scores": True,
        "row_stats": True,
        "asked": [True, False],
        "verl": True,
    }


def test_names_are_one_each_and_a_unit_stands_in_the_description():
    for values in ([s.name for s in STATISTICS], [s.slot for s in STATISTICS]):
        assert len(set(values)) == len(values)
    for statistic in STATISTICS:
        column = SCHEMA.field(statistic.name)
        assert column.nullable == statistic.optional
        assert statistic.unit not in ("nats",) or "nats" in column.metadata[b"description"].decode()
        assert statistic.slot in AttentionEntropy.__dataclass_fields__


@pytest.mark.parametrize("name", OF_EVERY_TOKEN)
def test_a_rule_may_look_at_every_statistic_that_every_token_has(name):
    values = {"p": 0.2, "denominator": "all", "scope": "response", "entropy_of": "old", "alignment": "token"}
    assert make_rule(kind="anchor", layer=3, score=name, **values).looks_at.name == name


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ((None, None, False), set()),
        ((4, None, False), {"topk"}),
        ((None, 4, False), {"fixed"}),
        ((None, None, True), {"support"}),
        ((4, 4, True), {"topk", "fixed", "support"}),
    ],
)
def test_each_param_asks_for_its_own_statistics(params, wanted):
    found = set(variants(asked(*params)))
    assert {"distance", "local_mass"} <= found
    assert found & {"topk", "fixed", "support"} == wanted

"""Results that read a probe some responses at a time give the same, however few they read."""

from pathlib import Path

import numpy as np
import pytest
from results_fixtures import save_params

from tokenspectrum.results import ascending, blocks
from tokenspectrum.results.discover import results
from tokenspectrum.results.sources import Wanted
from tokenspectrum.results.tables import Tables
from tokenspectrum.stages import result as stage
from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.writer import write_manifest, write_step


def made(artifacts, params, name) -> str:
    """The CSV of a result."""
    params["analysis"].setdefault(name, {})
    save_params(params)
    result = results()[name]
    folders = [word for source in result.reads for word in (f"--{source}", f"{artifacts}/{source}")]
    files = [word for kind, path in result.outs.items() for word in (f"--{kind}", path)]
    stage.main([result.module, *folders, *files])
    return Path(result.outs["csv"]).read_text()


@pytest.mark.parametrize("name", ["support", "layers", "scatter"])
def test_the_size_of_a_block_changes_nothing(artifacts, params, name, monkeypatch):
    whole = made(artifacts, params, name)
    monkeypatch.setattr(ascending, "SORTED_TOGETHER", 1)
    assert made(artifacts, params, name) == whole
    monkeypatch.setattr(blocks, "BLOCK", 1)
    assert made(artifacts, params, name) == whole


def test_a_block_holds_whole_responses_of_one_base(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 10)
    sizes = [(1, 0, 4), (1, 1, 6), (1, 3, 1), (1, 4, 30), (2, 0, 2), (2, 1, 2)]
    columns = {
        name: np.array(of) for name, of in zip(("base", "response_id", "n"), zip(*sizes, strict=True), strict=True)
    }
    found = [(block["base"], *block["within"]) for block in blocks.blocks(columns)]
    assert found == [(1, 0, 1), (1, 3, 3), (1, 4, 4), (2, 0, 1)]
    assert list(blocks.blocks({name: of[:0] for name, of in columns.items()})) == []


def test_files_without_the_responses_are_not_opened(tmp_path):
    folder = tmp_path / "attention" / "1"
    key = {"run": "base", "seed": 1, "step": 0}
    for part, first in enumerate((0, 10, 20)):
        columns = {name: np.zeros(6) for name in TABLES["attention"].names}
        columns |= {"response_id": np.repeat(np.arange(first, first + 3), 2), "position": [0, 1] * 3}
        write_step(folder, "attention", TABLES["attention"], columns, **key, name=f"part-{part}")
    write_manifest(folder)
    tables = Tables({"attention": tmp_path / "attention"}, Wanted(bases=[1]), "tokenspectrum.results.scatter")
    of = {"base": 1, "layer": 0}
    assert tables.arrays("attention_responses.sql", **of)["response_id"].tolist() == [0, 1, 2, 10, 11, 12, 20, 21, 22]
    found = tables.arrays("attention.sql", within=(12, 20), **of)
    assert found["response_id"].tolist() == [12, 12, 20, 20]
    far, *_ = sorted(folder.rglob("*.parquet"))
    far.unlink()
    assert tables.arrays("attention.sql", within=(12, 20), **of)["response_id"].tolist() == [12, 12, 20, 20]

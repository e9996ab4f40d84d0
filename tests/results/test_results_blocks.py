"""Results that read a probe some responses at a time give the same, however few they read."""

from pathlib import Path

import numpy as np
import pytest
from results_fixtures import save_params

from tokenspectrum.results import ascending, blocks
from tokenspectrum.results.discover import results
from tokenspectrum.stages import result as stage


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

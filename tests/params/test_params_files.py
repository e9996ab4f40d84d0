"""The files of users that params name: deps of the stage that reads them, by content, wherever they lie."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakedvc.dvcfiles import seen
from snakedvc.dvcfiles.hashes import DepHashes
from snakedvc.dvcfiles.load import load_pipeline
from snakedvc.errors import ProjectError
from tokenspectrum.params.files import named_files

ROOT = Path(__file__).parents[2]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """This project's dvc.yaml, with a params.yaml whose files lie here, elsewhere, and behind links."""
    for name in ("dvc.yaml", "params.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "src").symlink_to(ROOT / "src")
    (tmp_path / "data").mkdir()
    (tmp_path / "away").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "data/ext").symlink_to(tmp_path / "away")
    for name in ("data/mine.jsonl", "away/far.jsonl", "model/config.json", "model/model.safetensors", "data/notes.txt"):
        (tmp_path / name).write_text("1")
    (tmp_path / "model/.#config.json").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path)
    train = [
        {"source": {"kind": "file", "path": path}}
        for path in ("mine.jsonl", "ext/far.jsonl", f"{tmp_path}/data/mine.jsonl")
    ]
    use(
        {"folder": "data", "train": train, "benchmarks": [{"source": {"kind": "synthetic"}}]},
        {"kind": "hub", "source": "./model"},
    )
    return tmp_path


def use(prompts: object, policy: object) -> None:
    import yaml

    params = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"prompts": prompts, "policy": policy}
    Path("params.yaml").write_text(yaml.safe_dump(params))


def hashes() -> dict[str, str | None]:
    """The hash of each given file, by path."""
    pipeline = load_pipeline()
    found = DepHashes(pipeline, lambda out: None, lambda out, md5: {}, write=True)
    return {path: found.data(path, stage) for stage in pipeline.stages.values() for path in stage.named}


def test_an_edit_is_seen_wherever_the_file_lies_and_other_files_do_not_count(project):
    before = hashes()
    assert before.keys() == {
        "data/mine.jsonl", "data/ext/far.jsonl", f"{project}/data/mine.jsonl", "model/config.json",
        "model/model.safetensors",
    }  # fmt: skip
    (project / "data/notes.txt").write_text("other")
    (project / "data/new.jsonl").write_text("other")
    (project / "model/pytorch_model.bin").write_text("other")
    assert hashes() == before
    for edited, seen_as in (
        ("data/mine.jsonl", {"data/mine.jsonl", f"{project}/data/mine.jsonl"}),
        ("away/far.jsonl", {"data/ext/far.jsonl"}),
        ("model/model.safetensors", {"model/model.safetensors"}),
    ):
        (project / edited).write_text("2")
        now = hashes()
        assert {path for path in before if now[path] != before[path]} == seen_as
        before = now
    (project / "model/model.safetensors").rename(project / "model/other.safetensors")
    assert hashes().keys() != before.keys()


def test_a_large_file_is_hashed_once_and_again_when_it_changes(project, monkeypatch):
    monkeypatch.setattr(seen, "LARGE", 1)
    first = hashes()
    read = []
    monkeypatch.setattr(seen, "digest", lambda path: read.append(path) or pytest.fail("hashed again"))
    assert hashes() == first
    monkeypatch.undo()
    monkeypatch.chdir(project)
    monkeypatch.setattr(seen, "LARGE", 1)
    (project / "model/model.safetensors").write_text("2")
    assert hashes() != first
    seen.GIVEN.write_text("[")
    assert hashes() != first


def test_what_is_no_file_is_a_line(project):
    use({"folder": "/dev", "train": [{"source": {"kind": "file", "path": "zero"}}]}, {"kind": "tiny"})
    with pytest.raises(ProjectError, match=r"params.yaml: /dev/zero: neither a file nor a folder"):
        load_pipeline()
    use({"folder": "src", "train": [{"source": {"kind": "file", "path": "a.jsonl"}}]}, {"kind": "tiny"})
    with pytest.raises(ProjectError, match=r"params.yaml: src/a.jsonl: src/ is for code"):
        load_pipeline()
    use({"folder": "data", "train": [{"source": {"kind": "file", "path": "a{b}.jsonl"}}]}, {"kind": "tiny"})
    with pytest.raises(ProjectError, match=r"data/a\{b\}.jsonl: a word in braces is a wildcard of Snakemake's"):
        load_pipeline()
    use({"folder": "data", "train": [{"source": {"kind": "file", "path": "x" * 300}}]}, {"kind": "tiny"})
    assert hashes() == {f"data/{'x' * 300}": None}


@given(JSON, JSON)
def test_params_of_any_kind_name_files_or_none(prompts, policy):
    """They are checked later: here nothing may fail."""
    for stage in ("prompts", "policy", "train"):
        assert all(isinstance(path, str) for path in named_files(stage, {"prompts": prompts, "policy": policy}))


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["source", "name"]),
            st.dictionaries(st.sampled_from(["kind", "path"]), st.text() | st.none()),
        )
    ),
    st.text(),
)
def test_datasets_of_any_kind_name_files_or_none(datasets, folder):
    named_files("prompts", {"prompts": {"folder": folder, "train": datasets, "benchmarks": datasets}})
    named_files("policy", {"policy": {"kind": "hub", "source": f"/{folder}"}})

"""The reader of dvc.yaml on small files written for the purpose."""

from pathlib import Path, PurePosixPath

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from snakedvc.dvcfiles.digest import listing_md5
from snakedvc.dvcfiles.hashes import DepHashes
from snakedvc.dvcfiles.load import load_pipeline
from snakedvc.dvcfiles.templates import posix
from snakedvc.errors import ProjectError
from snakedvc.planning.snake import Stages
from snakedvc.running.inputs import data_entries

PARAMS = {"preset": "p", "methods": ["ab", "ab_c"], "seeds": [1, 20], "flags": [True, False], "train": {"rate": 0.5}}
TRAIN = {
    "matrix": {"method": "${methods}", "seed": "${seeds}"},
    "cmd": "python -m pkg.train --rate ${train.rate} --seed ${item.seed}",
    "deps": ["src/pkg/train.py", "given"],
    "params": ["train.rate"],
    "outs": ["out/${preset}/${item.method}-s${item.seed}"],
}
TABLE = {
    "cmd": "python -m pkg.table",
    "deps": ["out/${preset}", "src/pkg/a.py"],
    "params": ["seeds"],
    "outs": ["t.csv"],
}


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load a pipeline of these stages and params."""
    monkeypatch.chdir(tmp_path)

    def pipeline(params=PARAMS, **stages):
        (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        return load_pipeline()

    return pipeline


@given(st.text(alphabet="a./", max_size=8))
def test_paths_are_written_as_pathlib_writes_them(path):
    assert posix(path) == PurePosixPath(path).as_posix()


def test_files_are_resolved_anew_as_soon_as_a_byte_of_them_changes(load, tmp_path):
    before = load(train=TRAIN)
    assert load_pipeline() is load_pipeline()
    params = tmp_path / "params.yaml"
    params.write_text(params.read_text().replace("20", "21"))
    assert set(load_pipeline().stages) != set(before.stages)
    params.write_text(params.read_text().replace("21", "20"))
    assert set(load_pipeline().stages) == set(before.stages)


def test_files_are_resolved_anew_as_soon_as_the_code_that_a_param_names_is_there(load, tmp_path):
    params = PARAMS | {"train": {"rate": "mypkg.rules:late"}}
    before = load(params, train=TRAIN)
    assert "src/mypkg" not in before.stage("train@ab-1").deps
    (tmp_path / "src/mypkg").mkdir(parents=True)
    assert "src/mypkg" in load_pipeline().stage("train@ab-1").deps
    (tmp_path / "src/mypkg").rmdir()
    assert load_pipeline().stage("train@ab-1").deps == before.stage("train@ab-1").deps


def test_a_matrix_is_every_combination_in_order(load):
    pipeline = load(train=TRAIN, table=TABLE)
    assert list(pipeline.stages) == ["train@ab-1", "train@ab-20", "train@ab_c-1", "train@ab_c-20", "table"]
    stage = pipeline.stage("train@ab_c-20")
    assert stage.cmd == "python -m pkg.train --rate 0.5 --seed 20"
    assert stage.outs == ("out/p/ab_c-s20",)
    assert (stage.code, stage.data) == (("src/pkg/train.py",), ("given",))
    assert pipeline.values(stage) == {"train.rate": 0.5}
    assert pipeline.given(stage) == ["given"]


def test_a_reader_may_mean_some_of_the_runs_in_a_folder(load):
    params = PARAMS | {"table": {"methods": ["ab_c", "nonesuch"]}}
    pipeline = load(
        params, train=TRAIN, table=TABLE | {"meta": {"only": {"method": "table.methods", "other": "seeds"}}}
    )
    stage = pipeline.stage("table")
    assert pipeline.inputs(stage) == ["out/p/ab_c-s1", "out/p/ab_c-s20"]
    assert [s.addr for s in pipeline.upstream(stage)] == ["train@ab_c-1", "train@ab_c-20"]
    assert pipeline.given(stage) == []
    assert pipeline.made_under("out/p") == pipeline.inputs(load(params, train=TRAIN, table=TABLE).stage("table"))
    with pytest.raises(ProjectError, match=r"table must be a list of names or numbers for stage table"):
        load(params, train=TRAIN, table=TABLE | {"meta": {"only": {"method": "table"}}})


def test_a_folder_that_nothing_fills_under_these_params_is_empty_and_not_the_users(load):
    none, table = PARAMS | {"methods": []}, TABLE | {"deps": ["out/p", "mine"]}
    with pytest.raises(ProjectError, match="methods: is empty, so stage train would have no job"):
        load(none, train=TRAIN, table=table)
    pipeline = load(none, train=TRAIN | {"meta": {"may_be_empty": True}}, table=table)
    stage = pipeline.stage("table")
    assert pipeline.given(stage) == ["mine"]
    assert pipeline.inputs(stage) == ["mine"]
    Path("mine").write_text("a")
    entries = {entry.path: entry.md5 for entry in data_entries(pipeline, stage)}
    assert entries["out/p"] == listing_md5({})
    hashes = DepHashes(pipeline, lambda _: None, lambda *_: {})
    assert {dep: hashes.data(dep, stage) for dep in stage.data} == entries


PAIRS = [{"base": 7, "seed": 1}, {"base": 7, "seed": 20}]
PAIRED = {
    "matrix": {"method": "${methods}", "pair": "${pairs}"},
    "cmd": "python -m pkg.train --base ${item.pair.base} --seed ${item.pair.seed}",
    "deps": ["src/pkg/train.py"],
    "outs": ["out/${item.method}-s${item.pair.seed}", "log/${item.pair.seed}/${item.method}"],
}


def test_an_item_may_be_a_mapping_called_by_the_value_in_its_outs(load):
    pipeline = load({**PARAMS, "pairs": PAIRS}, train=PAIRED)
    assert list(pipeline.stages) == ["train@ab-1", "train@ab-20", "train@ab_c-1", "train@ab_c-20"]
    stage = pipeline.stage("train@ab_c-20")
    assert stage.cmd == "python -m pkg.train --base 7 --seed 20"
    assert stage.outs == ("out/ab_c-s20", "log/20/ab_c")
    assert stage.entry == "train@ab_c-pair1"
    assert pipeline.axes("train") == {"method": ["ab", "ab_c"], "pair": ["1", "20"]}
    assert pipeline.out_patterns("train") == ["out/{method}-s{pair}", "log/{pair}/{method}"]


@pytest.mark.parametrize(
    ("pairs", "outs", "message"),
    [
        (
            [{"base": 7, "seed": 1}, {"base": 8, "seed": 1}],
            None,
            "matrix pair of stage train holds a value twice: 1, 1",
        ),
        (PAIRS, ["o/${item.pair.seed}/${item.pair.base}"], "several keys of pair in its outs: base, seed"),
        (PAIRS, ["o"], "mappings of them of which one value stands in the outs"),
        ([{"base": 7}], None, "mappings of them of which one value stands in the outs"),
        ([{"base": [7], "seed": 1}], None, "mappings of them of which one value stands in the outs"),
        ([[7, 1]], None, r"must be a name or a number"),
    ],
)
def test_mappings_that_cannot_be_told_apart_are_refused(load, pairs, outs, message):
    with pytest.raises(ProjectError, match=message):
        load({**PARAMS, "pairs": pairs}, train={**PAIRED, "outs": outs or PAIRED["outs"]})


def test_truth_values_are_written_as_dvc_writes_them(load):
    stage = {**TRAIN, "matrix": {"method": "${flags}", "seed": [1]}}
    assert list(load(train=stage).stages) == ["train@true-1", "train@false-1"]


def test_a_folder_that_stages_fill_means_the_configured_runs(load):
    pipeline = load(train=TRAIN, table=TABLE)
    assert pipeline.inputs(pipeline.stage("table")) == [
        "out/p/ab-s1",
        "out/p/ab-s20",
        "out/p/ab_c-s1",
        "out/p/ab_c-s20",
    ]
    assert [s.addr for s in pipeline.topological()][-1] == "table"
    assert {s.name for s in pipeline.upstream(pipeline.stage("table"))} == {"train"}


def test_snakemake_sees_patterns_inputs_and_a_signature(load, tmp_path):
    load(train=TRAIN, table=TABLE)
    for name in ("given", "src/pkg/train.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    stages = Stages()
    assert stages.outputs("train") == ["out/p/{method}-s{seed}"]
    assert stages.outputs("train")[0].flags["directory"] is True
    assert stages.outputs("table") == ["t.csv"]
    wildcards = {"method": "ab_c", "seed": "20"}
    assert stages.addr("train")(wildcards) == "train@ab_c-20"
    assert stages.inputs("train")(wildcards) == ["given"]
    assert len(stages.inputs("table")({})) == 4
    assert stages.constraints() == {"method": "ab_c|ab", "seed": "20|1"}
    other = stages.sig("train")({"method": "ab", "seed": "20"})
    assert len({stages.sig("train")(wildcards), other}) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outs": [{"o": {"persist": True}}]}, r"stage train: .*persist.*: only plain, cached paths"),
        ({"outs": [{"o": {"cache": False}}]}, r"stage train: .*cache.*: only plain, cached paths"),
        ({"foreach": [1]}, r"stage train: foreach is not supported"),
        ({"outs": ["same"]}, r"same is made by both train@ab-1 and train@ab-20"),
        ({"cmd": "run ${train}"}, r"stage train: \$\{train\} is not a single value"),
        ({"cmd": "run ${nothing.here}"}, r"nothing.here: missing, but stage train of dvc.yaml reads it"),
        ({"matrix": {"method": "${train}"}}, r"params.yaml: train: must be a list, for matrix method of stage train"),
        ({"matrix": {"method": "x"}}, r"dvc.yaml: stage train: matrix method: must be a list"),
        ({"matrix": {"method": []}}, r"dvc.yaml: stage train: matrix method: is empty, so stage train would have no"),
    ],
)
def test_what_the_bridge_cannot_do_is_refused_by_name(load, change, message):
    with pytest.raises(ProjectError, match=message):
        load(train={**TRAIN, **change})


def test_stages_that_depend_on_each_other_are_named(load):
    one = {"cmd": "a", "deps": ["b.txt"], "outs": ["a.txt"]}
    two = {"cmd": "b", "deps": ["a.txt"], "outs": ["b.txt"]}
    with pytest.raises(ProjectError, match="stages depend on each other: one -> two -> one"):
        list(load(one=one, two=two).topological())


def test_an_address_that_two_items_share_is_refused(load):
    stage = {**TRAIN, "matrix": {"method": ["a-b", "a"], "seed": ["c", "b-c"]}}
    with pytest.raises(ProjectError, match="two stages are called train@a-b-c"):
        load(train=stage)

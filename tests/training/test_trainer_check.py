"""`spectrum check` on a small preset that was really trained: clean, and with one value of each kind changed.

The one who changes a value is careful: the manifest's hash is made anew.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kit import jobs
from kit.policy import write_letters
from kit.rules import LOW2HIGH

from tokenspectrum.checking.found import MOST, Report
from tokenspectrum.checking.preset import Checked
from tokenspectrum.cli.main import main
from tokenspectrum.params.evaluate import EvaluateParams
from tokenspectrum.params.presets import read_preset
from tokenspectrum.params.replicates import Replicate
from tokenspectrum.params.root import Params
from tokenspectrum.policy.load import load_tokenizer
from tokenspectrum.policy.vocab import write_vocab
from tokenspectrum.rollout.questions import read_questions
from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.writer import write_manifest, write_step
from tokenspectrum.training.backends.local.trainer import train
from tokenspectrum.weighting.registry import make_rule

ROOT = Path(__file__).resolve().parents[2]
RUN, SEED, BASE, K = "anchor20", 1, 5, 2
TRAIN = f"train/{RUN}-s{SEED}/tokenlog"
STEP = f"run={RUN}/seed={SEED}/step=2/part-0.parquet"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, object]:
    """(artifacts of the preset, its params): one method, one seed, four steps."""
    root = tmp_path_factory.mktemp("check") / "tiny"
    return root, build(root)


def build(root: Path, **fields):
    """The artifacts of one run below `root`; `fields` are those of its job."""
    policy = write_letters(root / f"policy/{BASE}")
    prompts = root / "prompts/train"
    jobs.write_prompts(prompts, 24)
    shutil.copytree(prompts, root / "prompts/benchmarks")
    write_vocab(root / f"vocab/{BASE}", load_tokenizer(policy), "random")
    job = jobs.make_job(root, prompts, policy, run=RUN, method=RUN, train={"token_log": {"layers": ["rule"]}}, **fields)
    job = replace(job, out=root / f"train/{RUN}-s{SEED}", metrics=root / f"metrics/{RUN}-s{SEED}")
    train(job)
    shutil.rmtree(root / "checkpoints", ignore_errors=True)
    rule = root / f"weights/{RUN}-b{BASE}/rule.json"
    rule.parent.mkdir(parents=True)
    rule.write_text(job.rule.to_json())
    (questions,) = read_questions(root / "prompts/benchmarks").values()
    rows = [(q, sample) for q in questions for sample in range(K)]
    columns = {
        "benchmark": ["train"] * len(rows),
        "prompt_id": [q.prompt_id for q, _ in rows],
        "sample": [sample for _, sample in rows],
        "answer": [q.ground_truth if sample else None for q, sample in rows],
        "correct": [bool(sample) for _, sample in rows],
        "correct_alt": [bool(sample) for _, sample in rows],
        "n_tokens": [3] * len(rows),
    }
    scores = root / f"evaluate/{RUN}-s{SEED}"
    (scores / "scores").mkdir(parents=True)
    (scores / "summary.json").write_text(json.dumps({"k": K, "steps": {"4": {"train": summarised(columns)}}}))
    write_step(scores, "scores", TABLES["scores"], columns, run=RUN, seed=SEED, step=4, name="train")
    write_manifest(scores)
    return job


def summarised(columns: dict) -> dict:
    """What summary.json says of one benchmark: half of these samples are right, and the same half is boxed."""
    rows = len(columns["sample"])
    means = {"mean_at_k": 0.5, "mean_at_k_alternative": 0.5, "boxed": 0.5, "mean_tokens": 3.0}
    return means | {"problems": rows // K, "samples": rows, "right_by_strict_only": 0, "right_by_alternative_only": 0}


SUMMARY = f"evaluate/{RUN}-s{SEED}/summary.json"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda facts: facts["train"].update(mean_at_k=0.75), "steps.4.train.mean_at_k"),
        (lambda facts: facts["train"].update(boxed=0.25), "steps.4.train.boxed"),
        (lambda facts: facts["train"].update(mean_tokens="3"), "steps.4.train.mean_tokens"),
        (lambda facts: facts["train"].update(problems=3), "steps.4.train.problems"),
        (lambda facts: facts["train"].pop("mean_at_k"), "steps.4.train.mean_at_k"),
        (lambda facts: facts.update(other=facts.pop("train")), "steps"),
    ],
)
def test_a_summary_that_says_other_than_its_samples(tampered, tmp_path, change, named):
    path = tmp_path / "tiny" / SUMMARY
    summary = json.loads(path.read_text())
    change(summary["steps"]["4"])
    path.write_text(json.dumps(summary))
    write_manifest(path.parent)
    found = tampered().findings
    assert {(f.file, f.field) for f in found} == {(path, named)}


@pytest.fixture
def tampered(made, tmp_path, monkeypatch):
    """tampered(file, field, row, value): the findings after one value was changed; nothing changed without a file."""
    source, job = made
    root = tmp_path / "tiny"
    shutil.copytree(source, root)
    monkeypatch.chdir(tmp_path)

    def check(file=None, field="", row=0, value=None, honest=True) -> Report:
        if file is not None:
            path = root / file
            table = pq.read_table(path, partitioning=None)
            column = table[field].to_pylist()
            column[row] = value(column[row])
            kind = table.schema.field(field)
            table = table.set_column(table.schema.get_field_index(field), kind, pa.array(column, kind.type))
            pq.write_table(table, path)
            folder = next(p for p in path.parents if (p / "manifest.json").exists())
            if honest:
                write_manifest(folder)
        checked = Checked(root, params_of(job))
        checked.everything()
        return checked.report

    return check


def params_of(job) -> Params:
    """The preset tiny with what the small run differs in."""
    params = read_preset("tiny", ROOT / "presets").params
    evaluate = EvaluateParams(**params.evaluate.model_dump() | {"samples": K})
    own = {"methods": (RUN,), "bases": (BASE,), "replicates": (Replicate(seed=SEED, base=BASE),)}
    own |= {"train": job.train, "sampling": job.sampling, "reward": job.reward, "evaluate": evaluate}
    return params.model_copy(update=own)


def test_a_sound_preset_has_nothing_wrong(tampered):
    report = tampered()
    assert not report.findings
    kinds = (
        "files",
        "responses",
        "rewards",
        "advantages",
        "tokens",
        "attention",
        "losses",
        "weights",
        "sums",
        "scores",
    )
    assert all(report.compared[kind] > 0 for kind in (*kinds, "rules"))


def other_json(text):
    return text.replace('"p": 0.3', '"p": 0.4')


CHANGES = {
    # what is changed: table, field, how
    "reward": ("responses", "reward", lambda v: v + 0.5),
    "reward_raw": ("responses", "reward_raw", lambda v: -v),
    "correct": ("responses", "correct", lambda v: not v),
    "answer": ("responses", "answer", lambda v: "42"),
    "text": ("responses", "text", lambda v: r"\boxed{7}"),
    "advantage of a response": ("responses", "advantage", lambda v: v + 0.01),
    "n_tokens": ("responses", "n_tokens", lambda v: v + 1),
    "prompt_id": ("responses", "prompt_id", lambda v: "no such"),
    "logprob": ("tokens", "logprob", lambda v: 0.01),
    "rollout_logprob": ("tokens", "rollout_logprob", lambda v: 0.01),
    "entropy below 0": ("tokens", "predictive_entropy", lambda v: -0.1),
    "entropy above ln n": ("tokens", "predictive_entropy", lambda v: 99.0),
    "advantage of a token": ("tokens", "advantage", lambda v: v + 0.01),
    "position": ("tokens", "position", lambda v: v + 1),
    "weight": ("tokens", "weight", lambda v: 1.0 - v),
    "minibatch": ("tokens", "minibatch", lambda v: 1 - v),
    "loss of a token": ("tokens", "loss", lambda v: v + 0.1),
    "token_id": ("tokens", "token_id", lambda v: 10**6),
    "entropy_norm": ("attention", "entropy_norm", lambda v: v * 0.9 + 0.01),
    "visible": ("attention", "visible", lambda v: v + 1),
    "local_mass": ("attention", "local_mass", lambda v: 1.5),
    "distance": ("attention", "distance", lambda v: 1e6),
    "entropy_topk": ("attention", "entropy_topk", lambda v: 99.0),
    "entropy_fixed": ("attention", "entropy_fixed", lambda v: -1.0),
    "finish_reason": ("responses", "finish_reason", lambda v: {"stop": "length", "length": "stop"}[v]),
    "support_95": ("attention", "support_95", lambda v: 10**6),
}
NAMED = {
    "text": "reward_raw",
    "n_tokens": "n_tokens",
    "entropy below 0": "predictive_entropy",
    "entropy above ln n": "predictive_entropy",
    "advantage of a response": "advantage",
    "advantage of a token": "advantage",
    "loss of a token": "loss",
}


@pytest.mark.parametrize("folder", [TRAIN, f"metrics/{RUN}-s{SEED}", "prompts/train"])
def test_a_manifest_that_is_gone(tampered, tmp_path, folder):
    (tmp_path / "tiny" / folder / "manifest.json").unlink()
    assert (folder, "manifest") in {
        (f.file.relative_to(tmp_path / "tiny").as_posix(), f.field) for f in tampered().findings
    }


@pytest.mark.parametrize("tables", [("tokens",), ("responses", "tokens", "attention")])
@pytest.mark.parametrize("step", [2, 4])
def test_a_step_that_is_gone_with_its_lines_of_the_manifest(tampered, tmp_path, tables, step):
    log = tmp_path / "tiny" / TRAIN
    gone = [log / table / STEP.replace("step=2", f"step={step}") for table in tables]
    for path in gone:
        shutil.rmtree(path.parent)
    write_manifest(log)
    missing = {f.file for f in tampered().findings if f.field == "step"}
    assert missing == {path for path in gone if "attention" not in path.parts}


def test_another_token_is_told_by_the_text(tampered):
    report = tampered(f"{TRAIN}/tokens/{STEP}", "token_id", 1, lambda v: v - 1 if v > 1 else v + 1)
    assert "text" in {finding.field for finding in report.findings if "responses" in finding.file.parts}


@pytest.mark.parametrize("what", CHANGES)
def test_one_changed_value_is_named_with_its_file(tampered, what):
    table, field, value = CHANGES[what]
    report = tampered(f"{TRAIN}/{table}/{STEP}", field, 1, value)
    named = {(finding.file.parts[-5], finding.field) for finding in report.findings}
    tables = {"tokens"} if what == "n_tokens" else {table}
    assert named & {(t, NAMED.get(what, field)) for t in tables}
    assert all(
        finding.file.as_posix().endswith(STEP) or finding.field in ("s_m[0]", "s_m[1]", "loss")
        for finding in report.findings
    )


def test_the_row_is_named(tampered):
    report = tampered(f"{TRAIN}/tokens/{STEP}", "logprob", 3, lambda v: 0.25)
    lines = [str(finding) for finding in report.findings]
    assert any(line.endswith(f"tokens/{STEP}: row 3: logprob: 0.25, outside -inf to 1e-05") for line in lines)


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [("s_m", lambda v: [v[0], v[1] + 0.01], "s_m[1]"), ("loss", lambda v: v + 0.01, "loss")]
    + [(name, lambda v: v + 0.01, name) for name in ("reward", "accuracy", "length", "kept_fraction", "mean_weight")],
)
def test_a_changed_sum(tampered, field, value, named):
    report = tampered(f"metrics/{RUN}-s{SEED}/metrics/{STEP}", field, 0, value)
    assert {finding.field for finding in report.findings} == {named}
    assert all(finding.file.as_posix().endswith(f"metrics/{STEP}") for finding in report.findings)


def test_a_changed_score(tampered):
    file = f"evaluate/{RUN}-s{SEED}/scores/run={RUN}/seed={SEED}/step=4/train.parquet"
    *means, found = tampered(file, "correct", 0, lambda v: True).findings
    assert {finding.field for finding in means} == {"steps.4.train.mean_at_k", "steps.4.train.right_by_strict_only"}
    assert (found.row, found.field, found.what) == (0, "correct", "True, should be False")
    fields = {finding.field for finding in tampered(file, "sample", 2, lambda v: 1).findings}
    assert "sample" in fields


def test_a_changed_rule(tampered):
    report = tampered(f"{TRAIN}/runs/run={RUN}/seed={SEED}/part-0.parquet", "rule", 0, other_json)
    assert [finding.field for finding in report.findings] == ["rule"]


def test_a_run_is_held_against_the_rule_of_its_own_base_policy(made, tmp_path):
    source, job = made
    root = tmp_path / "tiny"
    shutil.copytree(source, root)
    other = root / f"weights/{RUN}-b6/rule.json"
    other.parent.mkdir()
    other.write_text(other_json(job.rule.to_json()))

    def found(base: int) -> set[str]:
        replicates = (Replicate(seed=SEED, base=base),)
        checked = Checked(root, params_of(job).model_copy(update={"bases": (BASE, 6), "replicates": replicates}))
        checked.everything()
        return {finding.field for finding in checked.report.findings}

    assert found(BASE) == set()
    assert "rule" in found(6)


def test_a_rule_that_looks_back_is_told_the_logged_steps(tmp_path):
    soft = {name: value for name, value in LOW2HIGH.record().items() if name not in ("kind", "s_warm")}
    shared = {"window": 1, "length_drift": 10.0, "fall": 0.5}
    bounds = {"reward_gain": -10.0, "collapse_length": (0.01, 100.0), "collapse_reward": 10.0}
    rule = make_rule(**soft, **shared, **bounds, kind="adaptive", pace=3, probe_every=1, cosine=-1.0)
    job = build(tmp_path / "tiny", rule=rule)
    checked = Checked(tmp_path / "tiny", params_of(job))
    checked.everything()
    assert not checked.report.findings
    assert checked.report.compared["weights"] > 0

    def wrong_steps(step: int, name: str, value: float | str) -> set[str]:
        path = tmp_path / "tiny/metrics" / f"{RUN}-s{SEED}/metrics" / STEP.replace("step=2", f"step={step}")
        table = pq.read_table(path, partitioning=None)
        at, field = table.schema.get_field_index(name), table.schema.field(name)
        pq.write_table(table.set_column(at, field, pa.array([value])), path)
        checked = Checked(tmp_path / "tiny", params_of(job))
        checked.everything()
        pq.write_table(table, path)
        return {finding.file.parts[-2] for finding in checked.report.findings if finding.field == "weight"}

    # Had the first step earned more, the second would have been a collapse.
    assert wrong_steps(1, "reward", 100.0) == {"step=3", "step=4"}
    # Had the third step's gradient turned away, r would have waited.
    assert wrong_steps(3, "realised", json.dumps({"cosine": -1.5})) == {"step=4"}


def test_a_careless_change_is_told_by_the_manifest(tampered):
    report = tampered(f"{TRAIN}/tokens/{STEP}", "rollout_logprob", 0, lambda v: v - 0.125, honest=False)
    assert [(f.field, f.what) for f in report.findings] == [("sha256", "is not the manifest's")]


@pytest.mark.parametrize("table", ["tokens", "runs", "responses", "attention"])
@pytest.mark.parametrize("left", [0, 0.5])
def test_a_half_written_file_is_named_and_the_rest_is_compared(tampered, tmp_path, table, left):
    root = tmp_path / "tiny" / TRAIN
    path = sorted((root / table).rglob("*.parquet"))[-1]
    content = path.read_bytes()
    path.write_bytes(content[: int(left * len(content))])
    report = tampered()
    assert {(f.file, f.field) for f in report.findings} >= {(path, "sha256"), (path, "file")}
    assert report.compared["losses"] > 0


@pytest.mark.parametrize("folder", ["evaluated", "rescore", "run_gradients"])
def test_one_run_has_every_folder_of_it(made, tmp_path, folder):
    source, job = made
    root = tmp_path / "tiny"
    shutil.copytree(source, root)
    path = root / folder / f"{RUN}-s{SEED}" / "facts.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    write_manifest(path.parent)
    path.write_text("{ }")
    checked = Checked(root, params_of(job))
    checked.one_run(RUN)
    assert [(f.file, f.field) for f in checked.report.findings] == [(path, "sha256")]


def test_many_rows_are_a_few_lines(tmp_path):
    report = Report()
    report.same("x", tmp_path, "y", range(10), [-1] * 10)
    assert len(report.findings) == MOST + 1
    assert str(report.findings[-1]) == f"{tmp_path}: y: and {10 - MOST} more rows"


def test_the_command_says_what_it_compared_and_fails_on_a_finding(tampered, made, monkeypatch, capsys):
    tampered()
    Path("dvc.yaml").touch()
    Path("artifacts").mkdir()
    Path("tiny").rename("artifacts/tiny")
    params = params_of(made[1])
    monkeypatch.setattr("tokenspectrum.params.root.load_params", lambda: params)
    main(["check", RUN])
    said = capsys.readouterr().out
    assert said.startswith("compared: ")
    assert said.endswith("; none wrong\n")
    (Path("artifacts/tiny") / TRAIN / "tokens" / STEP).unlink()
    with pytest.raises(SystemExit) as stop:
        main(["check"])
    assert stop.value.code == 1
    assert "listed in the manifest but missing" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="error: check: nothing: no such method; there are anchor20"):
        main(["check", "nothing"])

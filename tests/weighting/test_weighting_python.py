"""A rule that is a function of the user's own: the example of the docs, its key, and one line for every mistake."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from kit.jobs import make_job, train_params, write_prompts
from kit.policy import write_letters
from test_weighting_matched import make_batch

from snakedvc.code.freeze import frozen_copy
from snakedvc.code.impact import impact
from snakedvc.dvcfiles.load import load_pipeline
from snakedvc.dvcfiles.pipeline import Stage
from snakedvc.running.inputs import RefusedError, check_keyed_code, keyed_files
from tokenspectrum.errors import UserError
from tokenspectrum.params.base import parse_section
from tokenspectrum.params.presets import read_preset
from tokenspectrum.params.rules import RuleSection
from tokenspectrum.tokenlog.reader import read_table
from tokenspectrum.training.backends.local.trainer import train
from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.code import rule_code
from tokenspectrum.weighting.registry import rule_from_json
from tokenspectrum.weighting.rules import _python

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "docs/weighting.md").read_text().split("## A rule of your own")[1].split("\n## ")[0]
EXAMPLE = SECTION.split("```python\n")[1].split("```")[0]
PATH = "mypkg.rules:late_forks"


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A folder src/ with the example of the docs in it, from which modules are imported."""
    package = tmp_path / "src" / "mypkg"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "rules.py").write_text(EXAMPLE)
    monkeypatch.syspath_prepend(tmp_path / "src")
    monkeypatch.setattr(_python, "SOURCE", tmp_path / "src")
    for name in ("mypkg", "mypkg.rules"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    return tmp_path / "src"


def parse(**options):
    data = {"rules": {"late": options}}
    return parse_section(Path("params.yaml"), data, "rules.late", RuleSection).root


def test_the_example_of_the_docs(source):
    rule, batch = parse(kind=PATH, arguments={"after": 0.25}), make_batch([8, 5])
    entropy = batch.scores["predictive_entropy"].tolist()
    wanted = [entropy[t] * (t >= 2) for t in range(8)] + [entropy[8 + t] * (t >= 1.25) for t in range(5)]
    weights = apply(rule, batch)
    assert weights.weight_N.tolist() == pytest.approx(wanted)
    assert weights.selected_N.tolist() == [w > 0 for w in wanted]
    assert weights.score_N.isnan().all()
    assert rule_from_json(rule.to_json()) == rule
    assert (rule.denominator, rule.layers, rule.needs_types, rule.needs_predictive) == ("all", (), True, True)


def test_every_option_reaches_the_rule(source):
    batch = make_batch([8, 5])
    one, other = (apply(parse(kind=PATH, arguments={"after": x}), batch).weight_N for x in (0.0, 0.5))
    assert not torch.equal(one, other)
    assert parse(kind=PATH, denominator="selected").denominator == "selected"
    rule = parse(kind=PATH, score="entropy_norm", layer=["shallow", "deep"], alignment="token").resolved(9)
    assert (rule.looks_at.name, rule.layers, rule.looks_at.alignment) == ("entropy_norm", (2, 8), "token")
    assert torch.equal(apply(rule, batch).score_N, batch.scores["entropy_norm"])
    assert parse(kind=PATH, score="predictive_entropy").looks_at.name == "predictive_entropy"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return batch.position_N[:3]", r"returned shape \(3,\), not a weight for each of 6 tokens"),
        ("return 1.0", r"returned shape \(\), not a weight for each of 6 tokens"),
        ("return None", "returned NoneType, not a tensor of weights"),
        (
            "return torch.full((6,), float('nan'))",
            "gave weight nan at step 2, prompt p0, sample 0, position 0",
        ),
        ("return batch.position_N - 1.0", "gave weight -1.0 at step 2, prompt p0, sample 0, position 0: weights must"),
        ("return batch.nothing", r"AttributeError: .*nothing.* line 9\)"),
        ("return batch.score_N('entropy')", "ValueError: the batch has no score 'entropy'"),
        ("return 1 / 0", r"ZeroDivisionError: division by zero \(.*rules.py line 9\)"),
    ],
)
def test_a_wrong_function_is_one_line(source, body, said):
    text = EXAMPLE.split('    """Predictive')[0]
    (source / "mypkg/rules.py").write_text(f"{text}    {body}\n")
    with pytest.raises(UserError, match=rf"^{PATH}: {said}") as e:
        apply(parse(kind=PATH), make_batch([6]))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("mypkg.rules:late", "module mypkg.rules has no late"),
        ("mypkg.rulez:late_forks", "ModuleNotFoundError: No module named 'mypkg.rulez'"),
        ("mypkg.rules:torch", "torch is no function"),
    ],
)
def test_a_path_that_leads_nowhere_is_one_line(source, kind, said):
    with pytest.raises(UserError, match=rf"^{kind}: {said}"):
        apply(parse(kind=kind), make_batch([6]))


@pytest.mark.parametrize(
    ("head", "arguments", "said"),
    [
        ("batch", {}, None),
        ("batch, a, b=1", {"a": 1}, None),
        ("batch, a, b=1", {"b": 1}, "arguments: the function wants a too"),
        ("batch, *, a, b=None", {"a": 1, "b": 2}, None),
        ("batch, *, a, b=None", {}, "arguments: the function wants a too"),
        ("batch, /, a=1", {"c": 1}, "arguments.c: the function takes no such keyword; it takes a"),
        ("batch, **more", {"c": 1}, None),
        ("*all, a=1", {"a": 1}, None),
        ("batch, x, /", {}, "the function wants x by its place; the batch alone comes so"),
        ("batch, x=1, /", {}, None),
        ("batch", {"batch": 1}, "arguments.batch: the function takes no such keyword; it takes none"),
        ("", {}, "the function takes no batch; its first parameter is one"),
    ],
)
def test_keywords_are_held_against_the_function_without_running_it(source, head, arguments, said):
    (source / "mypkg/rules.py").write_text(f"def own({head}):\n    return 1\n\nraise RuntimeError('it ran')\n")
    assert _python.wrong_path("mypkg.rules:own", arguments) == said


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"kind": "mypkg.rules:late"}, "kind: mypkg.rules:late: mypkg.rules has no function late at its"),
        ({"kind": "mypkg.own:late"}, "kind: mypkg.own:late: no module mypkg.own below src/: put it"),
        ({"kind": "mypkg.rules:"}, "kind: "),
        ({"kind": "tokenspectrum.counter:uniforms"}, "a function of tokenspectrum itself; put it into"),
        ({"kind": PATH, "after": 0.5}, "after: unknown key"),
        ({"kind": PATH, "arguments": {"aftr": 0.5}}, "arguments.aftr: the function takes no such keyword; it takes"),
        ({"kind": PATH, "score": "entropy_norm"}, "score entropy_norm is of the attention row of a layer: give"),
        ({"kind": PATH, "layer": "mid"}, "layer and alignment belong to a score of the attention row"),
        ({"kind": PATH, "score": "entropy_norm", "layer": 7}, "layer: layer 7: the policy has layers 0 to 2"),
    ],
)  # fmt: skip
def test_a_mistake_in_params_is_one_line_before_anything_runs(source, rule, said):
    (source / "mypkg/rules.py").write_text(EXAMPLE + "\nraise RuntimeError('it ran')\n")
    with pytest.raises(UserError) as e:
        read_preset("tiny", ROOT / "presets", {"rules.full": rule})
    assert said in str(e.value)
    assert "\n" not in str(e.value)
    assert read_preset("tiny", ROOT / "presets", {"rules.full": {"kind": PATH}}).params.rules["full"].kind == PATH


def test_code_json_names_the_users_files_and_no_others(source):
    (source / "mypkg/rules.py").write_text(EXAMPLE + "\nfrom mypkg.parts import half\nfrom . import __doc__\n")
    (source / "mypkg/parts.py").write_text("half = 0.5\n")
    (source / "mypkg/unused.py").write_text("")
    also = rule_code(PATH)["also"]
    assert also == {
        f"src/mypkg/{name}": hashlib.sha256((source / "mypkg" / name).read_bytes()).hexdigest()
        for name in ("__init__.py", "parts.py", "rules.py")
    }
    assert "also" not in rule_code("anchor")


def test_code_json_names_what_is_imported_by_a_name_that_stands_there(source):
    by_name = "import importlib\nimportlib.import_module('beside')\nimportlib.import_module('.late', __package__)\n"
    (source / "mypkg/rules.py").write_text(EXAMPLE + by_name)
    for name in ("beside.py", "mypkg/late.py", "late.py"):
        (source / name).write_text("")
    also = {f"src/{name}" for name in ("beside.py", "mypkg/__init__.py", "mypkg/late.py", "mypkg/rules.py")}
    assert rule_code(PATH)["also"].keys() == also
    (source / "beside.py").write_text("no Python\n")
    with pytest.raises(UserError, match=r"beside\.py is no Python: .*line 1"):
        rule_code(PATH)


DVC_YAML = """\
stages:
  weights:
    matrix:
      method: ${methods}
    cmd: python -m pkg.weights --out ${item.method}
    deps:
      - src/pkg
    params:
      - rules.${item.method}
    outs:
      - made/${item.method}
"""


def write_code(files: dict[str, str]) -> None:
    """Files below src/, by their path there."""
    for name, text in files.items():
        Path("src", name).parent.mkdir(parents=True, exist_ok=True)
        Path("src", name).write_text(text)


def test_the_file_is_in_the_key_of_the_methods_that_use_it_and_of_no_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text(DVC_YAML)
    rules = {"full": {"kind": "uniform"}, "mine": {"kind": PATH}, "other": {"of": [{"kind": "alone:rule"}]}}
    Path("params.yaml").write_text(json.dumps({"methods": list(rules), "rules": rules}))
    files = {
        "pkg/__init__.py": "",
        "mypkg/__init__.py": "",
        "mypkg/rules.py": "from mypkg import parts\n",
        "mypkg/parts.py": "",
        "alone.py": "",
    }
    write_code(files)
    pipeline = load_pipeline()
    deps = {addr: set(stage.deps) - {"src/pkg"} for addr, stage in pipeline.stages.items()}
    assert deps == {
        "weights@full": set(),
        "weights@mine": {"src/mypkg"},
        "weights@other": {"src/alone.py"},
    }
    assert [stage.addr for stage in impact(pipeline, "src/mypkg/parts.py")[0]] == ["weights@mine"]


def test_what_it_imports_from_beside_its_package_is_in_the_key_too_and_what_dvc_yaml_lists_is_not(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text(DVC_YAML)
    rules = {"mine": {"kind": "alone:rule"}}
    Path("params.yaml").write_text(json.dumps({"methods": list(rules), "rules": rules}))
    files = {
        "pkg/__init__.py": "",
        "alone.py": "import torch, helper\nfrom pkg import parts\n\ndef rule(batch):\n    from far.off import away\n",
        "helper.py": "import alone\n",
        "far/__init__.py": "",
        "far/off.py": "import importlib\nimportlib.import_module('deep.down')\nfrom .off import helper\n",
        "deep/down.py": "no Python\n",
        "off.py": "",
        "unused.py": "",
    }
    write_code(files)
    stage = load_pipeline().stage("weights@mine")
    assert set(stage.deps) == {"src/pkg", "src/alone.py", "src/helper.py", "src/far", "src/deep"}
    with frozen_copy(stage, {}, {}) as frozen:
        assert (frozen / "src/helper.py").exists()
    Path("src/helper.py").write_text("import unused\n")  # the pipeline is read again where an import came
    assert "src/unused.py" in load_pipeline().stage("weights@mine").deps


def test_a_helper_is_in_the_key_though_another_stage_lists_its_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = "  other:\n    cmd: python -m far.stage\n    deps: [src/far/stage.py]\n    outs: [made/other]\n"
    Path("dvc.yaml").write_text(DVC_YAML + other)
    Path("params.yaml").write_text(json.dumps({"methods": ["mine"], "rules": {"mine": {"kind": "alone:rule"}}}))
    write_code(
        {"pkg/__init__.py": "", "alone.py": "from far import off\n", "far/stage.py": "", "far/off.py": "", "own.py": ""}
    )
    assert set(load_pipeline().stage("weights@mine").deps) == {"src/pkg", "src/alone.py", "src/far"}
    Path("src/far/off.py").write_text("import importlib\nimportlib.import_module('.stage', __package__)\n")
    Path("src/far/.#off.py").symlink_to("somebody@here.1")  # an editor's lock leads nowhere
    assert set(load_pipeline().stage("weights@mine").deps) == {"src/pkg", "src/alone.py", "src/far"}
    assert load_pipeline().stage("other").deps == ("src/far/stage.py",)


def test_training_calls_it_and_logs_what_it_gave(source, tmp_path):
    policy = write_letters(tmp_path / "policy")
    job = make_job(tmp_path, write_prompts(tmp_path / "prompts", 8), policy, rule=parse(kind=PATH), train={"steps": 1})
    assert train_params(steps=1).steps == 1
    train(job)
    tokens = read_table(job.out / "tokenlog", "tokens").to_pylist()
    length = {r["response_id"]: r["n_tokens"] for r in read_table(job.out / "tokenlog", "responses").to_pylist()}
    for token in tokens:
        late = token["position"] >= 0.5 * length[token["response_id"]]
        assert token["weight"] == pytest.approx(token["predictive_entropy"] * late)
    (row,) = read_table(job.metrics, "metrics").to_pylist()
    assert row["mean_weight"] == pytest.approx(sum(t["weight"] for t in tokens) / len(tokens))


def test_training_gets_the_users_files_by_code_json_and_refuses_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("src/pkg/rules").mkdir(parents=True)
    Path("src/mypkg").mkdir()
    Path("src/mypkg/rules.py").write_text("one = 1\n")
    Path("pyproject.toml").write_text('[tool.snakedvc.keyed-by]\n"src/pkg/rules" = "code.json"\n')
    digest = hashlib.sha256(b"one = 1\n").hexdigest()
    Path("code.json").write_text(json.dumps({"kind": PATH, "files": {}, "also": {"src/mypkg/rules.py": digest}}))
    stage = Stage("train", "train@mine-1", "train@mine-1", "true", ("code.json",), (), ("made",))
    assert keyed_files(stage) == {"src/mypkg/rules.py": digest}
    nobody = SimpleNamespace(producers={})
    with frozen_copy(stage, {}, {}, keyed_files(stage)) as frozen:
        assert (frozen / "src/mypkg/rules.py").read_text() == "one = 1\n"
        check_keyed_code(nobody, stage, frozen, None)
    Path("src/mypkg/rules.py").write_text("one = 2\n")
    refused = "train@mine-1: refused: src/mypkg/rules.py changed after its hash was taken: run again"
    with frozen_copy(stage, {}, {}, keyed_files(stage)) as frozen, pytest.raises(RefusedError, match=refused):
        check_keyed_code(nobody, stage, frozen, None)
    Path("code.json").write_text('"no mapping"')
    assert keyed_files(stage) == {}

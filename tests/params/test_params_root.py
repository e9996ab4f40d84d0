"""The whole params.yaml: every preset is valid, and sections that disagree are refused in one line at plan time."""

import copy
import hashlib
import json
import re
from pathlib import Path

import pytest
import yaml
from ruamel.yaml import YAML

from tokenspectrum.cli import preset, schemas
from tokenspectrum.errors import UserError
from tokenspectrum.params.base import PARAMS_ENV
from tokenspectrum.params.presets import read_preset
from tokenspectrum.params.render import render
from tokenspectrum.params.root import load_params, parse_params
from tokenspectrum.params.yaml_checked import read_yaml
from tokenspectrum.params.yaml_file import load_yaml

ROOT = Path(__file__).resolve().parents[2]
PRESETS = sorted((ROOT / "presets").glob("*.yaml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda p: p.stem)
def test_every_preset_is_valid_and_names_itself(path):
    params = read_preset(path.stem, path.parent).params
    assert params.preset == path.stem
    assert params.analysis.table1.reference in params.methods


def test_the_presets_are_there():
    small = {"tiny", "real-smoke", "one-gpu"}
    assert small | {"qwen3-8b", "qwen3-8b-selective", "qwen3-14b", "qwen2.5-7b"} <= {p.stem for p in PRESETS}


@pytest.mark.parametrize(("preset", "nodes"), [("qwen3-8b", 4), ("qwen3-8b-selective", 2)])
def test_the_paper_presets_are_the_papers_set_up(preset, nodes):
    params = parse_params(read_preset(preset, ROOT / "presets").data, preset)
    verl = params.systems.verl
    assert (params.train.trainer, params.train.dtype, verl.nodes, verl.gpus_per_node) == ("verl", "bfloat16", nodes, 8)
    assert verl.gradient_checkpointing
    sampling = params.sampling
    assert (sampling.max_prompt_tokens, sampling.max_response_tokens, sampling.n) == (1024, 8192, 8)
    assert (sampling.temperature, sampling.top_p, params.evaluate.top_p) == (1.0, 0.95, 0.7)


@pytest.mark.parametrize("path", PRESETS, ids=lambda p: p.stem)
def test_k_and_the_first_tokens_go_by_the_policys_size(path):
    """k, K and first_n: 256, 256, 512 of what extends qwen3-8b; 16, 32, 24 of the tiny one; laptops have their own."""
    params = read_preset(path.stem, path.parent).params
    found = (params.tokens.top_k, params.tokens.fixed_k, params.analysis.support.first_n)
    of_kind = {"hub": {(256, 256, 512)}, "tiny": {(16, 32, 24)}, "gguf": {(64, 64, 24), (32, 32, 24)}}
    assert found in of_kind[params.policy.root.kind]
    rows = params.train.token_log.row_stats
    assert (rows.top_k, rows.fixed_k) == found[:2] or params.policy.root.kind == "gguf"
    # As many tokens as any response may have are all of them.
    assert found[2] < params.sampling.max_response_tokens


def test_params_yaml_is_a_preset_as_committed():
    text = (ROOT / "params.yaml").read_text()
    name = load_yaml(ROOT / "params.yaml")["preset"]
    assert text == preset.sealed(render(read_preset(name, ROOT / "presets"), preset.note(name, ())))
    assert not preset.is_edited(text)


@pytest.mark.parametrize("path", PRESETS, ids=lambda p: p.stem)
def test_a_rendered_preset_is_the_whole_file_that_is_recorded(path):
    """sha256 of each preset's canonical JSON: a value that changes with what it extends is seen here."""
    recorded = json.loads((Path(__file__).parent / "presets.sha256.json").read_text())
    text = render(read_preset(path.stem, path.parent), "")
    for data in (read_yaml(Path("params.yaml"), text).data, yaml.safe_load(text), YAML(typ="safe").load(text)):
        canonical = json.dumps(data, sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(canonical.encode()).hexdigest() == recorded[path.stem]


def test_what_a_rendered_file_says_of_a_field_is_said_once():
    text = render(read_preset("tiny", ROOT / "presets"), "")
    assert text.count("# fraction of tokens to keep, 0 < p <= 1\n") == 1
    assert "[Training sits on a phase transition:" in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_main_table_has_the_rows_of_the_paper():
    params = parse_params(read_preset("tiny", ROOT / "presets").data, "tiny")
    kinds = [(params.rules[m].kind, getattr(params.rules[m], "layer", None)) for m in params.methods]
    soft = [("low2high", layer) for layer in ("shallow", "mid", "deep")]
    assert kinds == [
        ("uniform", None),
        ("random", None),
        ("anchor", "mid"),
        ("explorer", "mid"),
        ("predictive-high", None),
        *soft,
    ]
    assert [(r.seed, r.base) for r in params.replicates] == [(1, 1), (2, 2), (3, 3)]
    assert params.bases == (1, 2, 3)


def set_at(data, dotted, value):
    *path, last = dotted.split(".")
    for key in path:
        data = data[int(key) if key.isdigit() else key]
    data[last] = value


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("methods", ["full", "nonesuch"], "methods: nonesuch has no entry in rules"),
        ("methods", ["full", "full"], "methods: full is listed twice"),
        ("methods", [], "methods"),
        ("bases", [1, 2, 2, 3], "bases: 2 is listed twice"),
        ("gradients.subsets.full", {"kind": "anchor"}, "gradients.subsets.full: the stage itself measures"),
        ("gradients.subsets.decile3", {"kind": "anchor"}, "gradients.subsets.decile3: the stage itself measures"),
        ("gradients.subsets.anchors_l2", {"kind": "anchor"}, "gradients.subsets.anchors_l2: the stage itself measures"),
        ("gradients.matched.more", {"of": "nonesuch"}, "matched.more.of: nonesuch is not in subsets"),
        ("run_gradients", {"methods": ["full"], "steps": [1, 5]}, "policy after step 4, which is not kept; add 4 to"),
        (
            "run_gradients",
            {"methods": ["full"], "steps": [99]},
            "run_gradients.steps.0: 99 is beyond the last step, 40",
        ),
        ("run_gradients", {"methods": ["none"], "steps": [1]}, "run_gradients.methods.0: none is not in methods"),
        ("run_gradients", {"methods": [], "steps": [1]}, "methods and steps: give both, or neither"),
        ("gradients.subsets.more", {"kind": "low2high", "tau": "auto"}, "subsets.more: tau auto is found in the stage"),
        ("gradients.subsets.more", {"kind": "adaptive"}, "subsets.more: adaptive follows what a run measured"),
        ("gradients.sparse.p", [0.2, 0.1, 0.2], "0.2 is given twice; name each once"),
        ("bases", [], "bases: is empty; it must hold at least 1"),
        ("bases", [-1], "bases.0"),
        ("preset", "a/b", "preset: must be a name of lower-case letters, digits, _, . and -, which begins"),
        ("prompts.benchmarks.0.name", "a/b", "name: must be a name of letters, digits, _, . and -, which begins with"),
        ("methods", ["Full"], "methods.0: must be a name of lower-case letters, digits and _, which begins with"),
        ("bases", [3_000_000_000], "bases.0: must be less than or equal to 2147483647 (got 3000000000)"),
        ("replicates", [], "replicates: is empty; it must hold at least 1"),
        ("replicates.1.seed", 2**31, "replicates.1.seed: must be less than or equal to 2147483647 (got 2147483648)"),
        ("replicates.2.base", -1, "replicates.2.base"),
        ("replicates.0.seeds", 1, "replicates.0.seeds: unknown key; did you mean seed?"),
        ("policy.seed", 1, "policy.seed: unknown key"),
        ("analysis.table1.contrasts", [["anchor20", "nonesuch"]], "contrasts.0: nonesuch has no entry in rules"),
        ("analysis.table1.contrasts", [["full", "anchor20"]], "contrasts.0: it takes two different methods, neither"),
        ("analysis.table1.contrasts", [["anchor20", "anchor20"]], "contrasts.0: it takes two different methods"),
        ("rollouts.seed", 2**31, "rollouts.seed: must be 2147483647 at most (got 2147483648)"),
        ("rules.base", {"kind": "uniform"}, "rules.base: base is what tables call the base policy"),
        ("prompts.benchmarks.0.name", "Avg", "prompts.benchmarks.0.name: Avg is the name of a column of the results"),
        ("prompts.benchmarks.0.name", "Hardest", "Hardest is the name of a measure of the results, hardest"),
        ("prompts.benchmarks.0.name", "reward", "name: reward is the name of a measure of the results, reward"),
        ("prompts.benchmarks.0.name", "P", "P is the name of a column of the results, p"),
        ("prompts.benchmarks.0.name", "minerva", "Minerva differs from minerva in case alone"),
        ("methods", ["full", "randm20"], "methods: randm20 has no entry in rules; did you mean random20?"),
        ("train.learning_rat", 1, "train.learning_rat: unknown key; did you mean learning_rate?"),
        (
            "rules.anchor20.layer",
            "middle",
            "'shallow', 'mid' or 'deep', or 'mean', or a list (got \"middle\"); did you mean mid?",
        ),
        ("rules.explorer20.kind", "exploerer", '(got "exploerer"); did you mean explorer?'),
        ("preset", "a/b", "preset"),
        ("rules.anchor20.layer", 3, "rules.anchor20.layer: layer 3: the policy has layers 0 to 2"),
        ("tokens.layers", [7], "tokens.layers: layer 7"),
        ("tokens.layers", ["shallow"], "is not in tokens.layers"),
        ("tokens.alignment", "token", "alignment"),
        ("tokens.top_k", 186, "would change nothing"),
        ("train.token_log.row_stats.fixed_k", 400, "would change nothing"),
        ("train.token_log.layers", ["rule", 5], "train.token_log.layers: layer 5"),
        ("sampling.max_prompt_tokens", 1000, "sampling: prompt and response may have 1090 tokens"),
        ("reward.overlong.buffer", 91, "reward.overlong.buffer: 91"),
        ("analysis.table1.survivors", ["nonesuch"], "survivors: nonesuch has no entry in rules"),
        ("evaluate.steps", [20], "evaluate.steps: 20 is not kept"),
        ("analysis.table1.collapse.window", 41, "collapse.window"),
        ("train.extra_knob", 1, "train.extra_knob: unknown key"),
        ("train.steps", "40", "train.steps"),
        ("rules.full.p", 0.2, "rules.full.p: unknown key"),
        ("surprise", 1, "surprise: unknown key"),
    ],
)
def test_disagreement_is_one_line_that_names_the_field(field, value, said):
    data = copy.deepcopy(read_preset("tiny", ROOT / "presets").data)
    set_at(data, field, value)
    with pytest.raises(UserError) as e:
        parse_params(data, "params.yaml")
    assert all(line.startswith("params.yaml: ") for line in str(e.value).splitlines())
    assert said in str(e.value)


@pytest.mark.parametrize(
    ("edits", "where", "said"),
    [
        (
            [("{seed: 2, base: 2}", "{seed: 1, base: 2}")],
            "{seed: 1, base: 2}",
            "replicates.1.seed: 1 is another replic",
        ),
        ([("{seed: 3, base: 3}", "{seed: 3, base: 3}\n  - {seed: 4, base: 5}")], "base: 5}", "replicates.3.base: 5 is"),
        ([("bases: [1, 2, 3]", "bases: [1, 2, 3, 4]")], "bases:", "bases.3: no replicate trains base 4; add one to re"),
        (
            [("preset: tiny", "preset: tiny\nseeds: [1, 2, 3]")],
            "seeds:",
            "seeds: unknown key; a replicate is a seed and",
        ),
    ],
    ids=["duplicate seed", "base not in bases", "untrained base", "seeds of old"],
)
def test_replicates_that_do_not_fit_are_one_line_with_file_and_line(tmp_path, edits, where, said):
    path = tmp_path / "params.yaml"
    text = render(read_preset("tiny", ROOT / "presets"), "")
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    with pytest.raises(UserError) as e:
        parse_params(read_yaml(path).data, str(path), read_yaml(path).places)
    number = next(n for n, row in enumerate(text.splitlines(), 1) if where in row)
    assert str(e.value).startswith(f"{path} line {number}: {said}")
    assert "\n" not in str(e.value)


def test_a_hub_policy_with_two_bases_is_refused_and_one_base_may_have_any_number():
    data = copy.deepcopy(read_preset("qwen3-8b", ROOT / "presets").data)
    data["bases"], data["replicates"] = [1, 2], [{"seed": 1, "base": 1}, {"seed": 2, "base": 2}]
    with pytest.raises(
        UserError,
        match=r"^params\.yaml: bases: a hub policy is one base policy, and bases holds 2; write",
    ):
        parse_params(data, "params.yaml")
    data["bases"], data["replicates"] = [7], [{"seed": 1, "base": 7}, {"seed": 2, "base": 7}]
    assert parse_params(data, "params.yaml").seeds == (1, 2)


def test_an_old_file_is_told_of_replicates_alone():
    """It also lacks what came in place of `seeds`, and has a key more in `policy`."""
    data = copy.deepcopy(read_preset("tiny", ROOT / "presets").data)
    del data["bases"], data["replicates"]
    data["seeds"] = [1, 2, 3]
    data["policy"]["seed"] = 1
    with pytest.raises(UserError) as e:
        parse_params(data, "params.yaml")
    assert str(e.value) == (
        "params.yaml: seeds: unknown key; a replicate is a seed and a base policy: bases: [1, 2], replicates:"
        " [{seed: 1, base: 1}, ...]"
    )


VERL = {"train.trainer": "verl"}


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({"train.dtype": "bfloat16"}, "train: dtype bfloat16 with trainer local"),
        (
            {"train.verl_overrides": {"actor_rollout_ref.rollout.enforce_eager": True}},
            "train: verl_overrides with trainer local",
        ),
        ({"train.dynamic_sampling": {"max_batches": 1}}, "train.dynamic_sampling.max_batches"),
        ({"train.dtype": "float16"}, "train.dtype"),
        ({"rollouts.engine": "vllm", "systems.vllm": None}, "rollouts.engine: vllm needs systems.vllm"),
        ({"evaluate.engine": "vllm", "systems.vllm": None}, "evaluate.engine: vllm needs systems.vllm"),
        (VERL | {"systems.verl": None}, "train.trainer: verl needs systems.verl"),
        (VERL | {"systems.verl.nodes": 3}, "3 x 1 = 3 does not divide the 32 responses of a mini-batch"),
        (VERL | {"systems.verl.gpus_per_node": 64}, "1 x 64 = 64 does not divide the 32 responses"),
        ({"systems.verl.tensor_parallel": 2}, "systems.verl: tensor_parallel 2 does not divide gpus_per_node 1"),
        ({"systems.verl.node_addresses": ["127.0.0.1", "127.0.0.2"]}, "2 addresses for 1 nodes"),
        ({"systems.verl.gpu_memory_utilization": 1.0}, "systems.verl.gpu_memory_utilization"),
        (VERL | {"systems.verl.max_tokens_per_gpu": 185}, "185 is below the longest context, 186"),
        (
            VERL | {"methods": ["full"], "rules.full": {"kind": "adaptive", "probe_every": 2, "cosine": 0.0}},
            "rules.full.probe_every: trainer verl measures no gradient; use 0, or trainer local",
        ),
        (VERL | {"train.dtype": "bfloat16"}, "train.dtype: bfloat16 with systems.verl.device cpu"),
        ({"systems.vllm.shards": 0}, "systems.vllm.shards"),
        (
            {"methods": ["full"], "tokens.alignment": "token", "run_gradients": {"methods": ["full"], "steps": [1]}},
            "run_gradients.methods.0: full reads no attention, so its run logs alignment decision, and tokens.align",
        ),
        (
            {"train.rollout_is_threshold": 2.0, "sampling.temperature": 0.7},
            "the sampler reports at sampling.temperature 0.7 and training is at 1; leave it out, or sample at 1",
        ),
        ({"systems.vllm.stall_timeout": 0}, "systems.vllm.stall_timeout"),
    ],
    ids=str,
)
def test_trainers_engines_and_machines_that_disagree_are_one_line(edits, said):
    data = copy.deepcopy(read_preset("tiny", ROOT / "presets").data)
    for field, value in edits.items():
        set_at(data, field, value)
    with pytest.raises(UserError) as e:
        parse_params(data, "params.yaml")
    assert str(e.value).startswith("params.yaml: ")
    assert said in str(e.value)
    assert "\n" not in str(e.value)


def test_the_embedded_default_becomes_a_verl_run_by_one_word():
    data = copy.deepcopy(read_preset("tiny", ROOT / "presets").data)
    set_at(data, "train.trainer", "verl")
    assert parse_params(data, "params.yaml").systems.verl.world_size == 1


def test_machines_that_nothing_uses_may_be_left_out():
    data = copy.deepcopy(read_preset("tiny", ROOT / "presets").data)
    data["systems"] |= {"verl": None, "vllm": None}
    assert parse_params(data, "params.yaml").systems.verl is None


def test_all_mistakes_are_said_each_with_its_line(tmp_path):
    text = render(read_preset("tiny", ROOT / "presets"), "")
    path = tmp_path / "params.yaml"
    for old, new in (("steps: 40 ", 'steps: "40" '), ("learning_rate:", "learning_rat:"), ("layer: mid", "layer: mdi")):
        text = text.replace(old, new, 1)
    path.write_text(text)
    with pytest.raises(UserError) as e:
        parse_params(read_yaml(path).data, str(path), read_yaml(path).places)
    lines = str(e.value).splitlines()
    for line, word in zip(lines, ("layer: mdi", 'steps: "40"', "learning_rat:"), strict=True):
        number = next(n for n, row in enumerate(text.splitlines(), 1) if word in row)
        assert line.startswith(f"{path} line {number}: ")
    assert "without quotes" in lines[1]


def test_a_params_file_that_leaves_something_to_a_default_is_refused(tmp_path, monkeypatch):
    """DVC would not see the value."""
    text = render(read_preset("tiny", ROOT / "presets"), "")
    path = tmp_path / "params.yaml"
    path.write_text("".join(row for row in text.splitlines(True) if not row.startswith("  grad_clip:")))
    monkeypatch.setenv(PARAMS_ENV, str(path))
    with pytest.raises(UserError, match=r"line \d+: train.grad_clip: missing; its default is 1.0: write it there"):
        load_params()


def test_a_kept_checkpoint_may_be_evaluated():
    data = copy.deepcopy(read_preset("tiny", ROOT / "presets").data)
    data["train"]["keep_steps"] = [20]
    data["evaluate"]["steps"] = [20, "final"]
    assert parse_params(data, "params.yaml").evaluate.steps == (20, "final")


def test_schemas_are_those_of_the_code(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert schemas.stale() == [], "run `spectrum schemas` and commit"
    have, want = schemas.page()
    assert have == want, "run `spectrum schemas` and commit"
    assert "| `steps` | whole number ≥ 1 | `40` | rollout batches to train on | train, train_more |" in want
    assert "| `dtype` | `float32`, `bfloat16` |" in want
    assert re.search(r"^\| `threads` \|.*\| - \|$", want, re.MULTILINE)


def test_the_preset_of_the_page_is_one(tmp_path):
    page = (ROOT / "docs/params.md").read_text()
    (tmp_path / "mine.yaml").write_text(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])
    (tmp_path / "tiny.yaml").write_bytes((ROOT / "presets/tiny.yaml").read_bytes())
    params = read_preset("mine", tmp_path).params
    assert (params.methods, params.train.steps) == (("full", "explorer20"), 3)


def test_a_stale_schema_is_named_and_mended(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    everything = set(schemas.stale())
    assert {"params.schema.json", "tables/tokens.json"} <= everything
    for name, text in schemas.generated().items():
        (tmp_path / "schemas" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "schemas" / name).write_text(text)
    assert schemas.stale() == []
    (tmp_path / "schemas/tables/tokens.json").write_text("{}")
    (tmp_path / "schemas/left_over.json").write_text("{}")
    assert schemas.stale() == ["left_over.json", "tables/tokens.json"]


EXTRA = {"run": "full-s9", "method": "full", "seed": 9, "base": 1}
OTHER, BACK = (EXTRA | {"run": f"{method}-s9", "method": method} for method in ("explorer20", "back"))
MOVED = OTHER | {"base": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extra_runs": [EXTRA | {"run": "full-9"}]}, r"extra_runs.0.run: full-9 is the run full-s9; write that"),
        ({"extra_runs": [EXTRA, EXTRA]}, r"extra_runs.1.run: full-s9 is listed twice"),
        ({"extra_runs": [BACK]}, r"extra_runs.0.method: back is not in methods; add it there"),
        ({"extra_runs": [EXTRA | {"base": 8}]}, r"extra_runs.0.base: 8 is not in bases; add it there"),
        (
            {"extra_runs": [EXTRA | {"run": "full-s1", "seed": 1}]},
            r"extra_runs.0.seed: 1 is a replicate's, which trains every method; give it its own",
        ),
        ({"extra_runs": [EXTRA, MOVED]}, r"extra_runs.1.base: 2, but full-s9 trains base 1 under the same seed, and"),
        ({"rescore": {"methods": ["back"]}}, r"rescore.methods: back is not in methods, so there is no policy of it"),
        ({"rescore": {"steps": [3]}}, r"rescore.steps: 3 is not kept; add it to train.keep_steps"),
    ],
)
def test_further_runs_and_rescored_policies_are_of_what_is_there(changes, message):
    data = copy.deepcopy(read_preset("tiny", ROOT / "presets").data)
    with pytest.raises(UserError, match=message):
        parse_params(data | changes, "params.yaml")
    kept = data | {"extra_runs": [EXTRA, OTHER], "rescore": {"methods": ["full"], "steps": ["final"]}}
    assert parse_params(kept, "params.yaml").extra_runs[0].run == "full-s9"

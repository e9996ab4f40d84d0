"""`spectrum plan`: the arithmetic against hand counts, every preset planned, and one line for what cannot fit."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from tokenspectrum.cli.main import main
from tokenspectrum.cli.plan import find_shape
from tokenspectrum.cli.prices import (
    by_claim,
    by_result,
    hours,
    lacking_claims,
    lacking_results,
    price_table,
    prices,
    problems_of,
    shown,
)
from tokenspectrum.errors import UserError
from tokenspectrum.params.base import PARAMS_ENV
from tokenspectrum.params.policy import HubShape
from tokenspectrum.params.presets import read_preset
from tokenspectrum.params.render import render
from tokenspectrum.params.root import parse_params
from tokenspectrum.params.yaml_file import load_yaml
from tokenspectrum.policy.shape import shape_of, weights
from tokenspectrum.systems import memory
from tokenspectrum.systems.price import Speed, evaluation_hours, step_hours
from tokenspectrum.systems.volume import (
    checkpoint_bytes,
    driver_bytes,
    log_rows,
    policy_bytes,
    row_bytes,
    sample_tokens,
)
from tokenspectrum.tables import attention, tokens

ROOT = Path(__file__).resolve().parents[2]
PRESETS = [path.stem for path in sorted((ROOT / "presets").glob("*.yaml"))]
GIB = 2**30


def read(preset, **edits):
    data = read_preset(preset, ROOT / "presets").data
    for dotted, value in edits.items():
        node = data
        *path, last = dotted.split("__")
        for key in path:
            node = node[key]
        node[last] = value
    return parse_params(data, preset)


def plan(monkeypatch, capsys, *words):
    monkeypatch.chdir(ROOT)
    main(["plan", *map(str, words)])
    return capsys.readouterr().out


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_fits_on_its_gpus(monkeypatch, capsys, preset):
    assert f"preset {preset}:" in plan(monkeypatch, capsys, preset)


def test_params_yaml_is_planned_by_default(monkeypatch, capsys):
    assert plan(monkeypatch, capsys) == plan(monkeypatch, capsys, load_yaml(ROOT / "params.yaml")["preset"])


def test_the_count_of_weights_is_the_published_one():
    # The model cards: 8.2 B, 14.8 B, 7.6 B and 0.6 B.
    for preset, billions in {"qwen3-8b": 8.2, "qwen3-14b": 14.8, "qwen2.5-7b": 7.6, "one-gpu": 0.6}.items():
        policy = read(preset).policy.root
        assert round(weights(policy.shape, policy.num_layers) / 1e9, 1) == billions


def test_keys_and_values_of_qwen3_8b_take_144_kib_a_token():
    params = read("qwen3-8b")
    room = memory.cache_room("bfloat16", 0.5, 1, params.policy.root.shape, 36, 9216, 80 * GIB)
    assert room.token == 2 * 36 * 8 * 128 * 2
    assert room.room == pytest.approx(40 * GIB - 2 * 8190427136 - 2 * GIB, rel=1e-3)
    halved = memory.cache_room("bfloat16", 0.5, 2, params.policy.root.shape, 36, 9216, 80 * GIB)
    assert halved.token == room.token / 2
    assert halved.room > room.room


def update_size(**edits):
    params = read("qwen3-8b", **edits)
    return memory.update_phase(params.train, params.systems.verl, params.policy.root.shape, 36)


def test_each_setting_moves_the_memory_that_it_should():
    base = {part.what.split(" of ")[0]: part.size for part in update_size().parts}
    assert base["AdamW's two moments"] == pytest.approx(8 * 8190427136 / 32, rel=1e-3)
    assert base["logits"] == 18432 * 151936 * (2 + 2 + 4)
    halved = update_size(systems__verl__nodes=2)
    assert halved.parts[2].size == 2 * base["AdamW's two moments"]
    assert update_size(systems__verl__gradient_checkpointing=False).size > 1.5 * update_size().size
    assert update_size(train__dtype="float32").parts[5].size == 1.5 * base["logits"]
    params = read("qwen3-8b", systems__verl__offload=False)
    beside = memory.sampling_phase(params.train, params.systems.verl, params.policy.root.shape, 36, 80 * GIB).parts[1]
    assert beside.size == pytest.approx(12 * 8190427136 / 32, rel=1e-3)
    assert memory.host_bytes(params.systems.verl, params.policy.root.shape, 36) == 0


def test_the_proposed_number_of_tokens_is_the_most_that_fits():
    params, layers, gpu = read("one-gpu"), 28, 16 * GIB
    shape, verl = params.policy.root.shape, params.systems.verl
    most = memory.most_tokens(params.train, verl, shape, layers, gpu)

    def size(tokens):
        return memory.update_phase(
            params.train, verl.model_copy(update={"max_tokens_per_gpu": tokens}), shape, layers
        ).size

    assert size(most) <= gpu < size(most + 1)


def test_volumes_are_those_of_the_params():
    params = read("tiny", train__keep_steps=[20])
    rows = log_rows(params.train, params.sampling, 50)
    assert (rows.responses, rows.tokens, rows.attention) == (40 * 16 * 8, 40 * 16 * 8 * 50, 2 * 40 * 16 * 8 * 50)
    off = read("tiny", train__token_log={"tokens": "none", "attention": "none", "layers": [], "row_stats": None})
    assert log_rows(off.train, off.sampling, 50).tokens == log_rows(off.train, off.sampling, 50).attention == 0
    assert policy_bytes(params.train, 10) == 80
    assert policy_bytes(read("qwen3-8b", train__keep_steps=[1]).train, 10) == 40  # verl writes bfloat16
    assert sample_tokens(params.evaluate, 30, 50) == 30 * 8 * 50
    assert sample_tokens(params.evaluate.model_copy(update={"keep_samples": False}), 30, 50) == 0
    assert checkpoint_bytes(10, 2) == 360  # the third is written before the first goes


def test_the_trainer_holds_two_steps_of_responses_and_tables():
    params = read("qwen3-8b")
    responses = 512 * 8 * 8192
    widths = row_bytes(tokens.SCHEMA), row_bytes(attention.SCHEMA)
    table = pa.table({f.name: pa.array([0] * 1000, f.type) for f in tokens.SCHEMA})
    assert 1000 * widths[0] == table.nbytes
    expected = 2 * responses * (68 + sum(widths))
    assert driver_bytes(params.train, params.sampling, tokens.SCHEMA, attention.SCHEMA) == expected


def test_evaluation_samples_are_planned(monkeypatch, capsys):
    n = sum(benchmark.source.n for benchmark in read("tiny").prompts.benchmarks)
    assert f"{n * 8 * 50:,}" in plan(monkeypatch, capsys, "tiny", "--response-tokens", "50")
    assert "after prompts" in plan(monkeypatch, capsys, "qwen3-8b")


def test_dynamic_sampling_is_said(monkeypatch, capsys, tmp_path):
    text = render(read_preset("tiny", ROOT / "presets"), "")
    assert "dynamic sampling" not in plan(monkeypatch, capsys, "tiny")
    changed = tmp_path / "params.yaml"
    changed.write_text(text.replace("dynamic_sampling: null", "dynamic_sampling: {max_batches: 3}"))
    monkeypatch.setenv(PARAMS_ENV, str(changed))
    assert "may sample 3 batches" in plan(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["one-gpu", "--gpu-memory", "16"], "systems.verl: update needs 17.3 GiB on a GPU of 16"),
        (["qwen3-8b", "--gpu-memory", "24"], "max_tokens_per_gpu"),
        (["nonesuch"], "no such preset"),
    ],
    ids=str,
)
def test_what_cannot_fit_is_one_line_and_exit_1(words, said):
    run = subprocess.run(
        [sys.executable, "-c", "from tokenspectrum.cli.main import main; main()", "plan", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stdout
    assert said in run.stderr
    assert run.stderr.count("\n") == 1


def test_a_context_that_the_cache_cannot_hold_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    text = render(read_preset("qwen3-8b", ROOT / "presets"), "")
    small = tmp_path / "params.yaml"
    small.write_text(text.replace("gpu_memory_utilization: 0.7", "gpu_memory_utilization: 0.22"))
    monkeypatch.setenv(PARAMS_ENV, str(small))
    with pytest.raises(SystemExit, match=r"systems.verl: vLLM has 0\.\d GiB for keys and values, less than the 1\.3"):
        main(["plan"])
    assert "at once" in capsys.readouterr().out


def test_jobs_of_vllm_follow_the_params(tmp_path, monkeypatch, capsys):
    params = read("qwen3-8b")
    runs = (len(params.methods) + 1) * len(params.replicates)
    line = "systems.vllm: jobs, one node with 8 GPUs each: "
    assert f"{line}4 of the probe and {runs} of evaluation" in plan(monkeypatch, capsys, "qwen3-8b")
    text = render(read_preset("qwen3-8b", ROOT / "presets"), "")
    few = tmp_path / "params.yaml"
    few.write_text(text.replace("shards: [1, 2, 3, 4]", "shards: [1, 2]").replace("    shards: 8", "    shards: 2"))
    monkeypatch.setenv(PARAMS_ENV, str(few))
    assert f"{line.replace('8', '2')}2 of the probe and" in plan(monkeypatch, capsys)
    assert "systems.vllm: jobs" not in plan(monkeypatch, capsys, "tiny")


def test_heads_that_do_not_divide_are_refused():
    shape = HubShape(hidden=8, heads=28, kv_heads=4, head_dim=2, intermediate=8, vocabulary=8, tied=True)
    memory.check_heads(shape, 4)
    with pytest.raises(UserError, match="8 does not divide the policy's 28 query heads"):
        memory.check_heads(shape, 8)
    with pytest.raises(UserError, match="does not fit the policy's 4 key heads"):
        memory.check_heads(shape.model_copy(update={"heads": 24}), 6)


def test_hours_and_lengths_follow_the_flags(monkeypatch, capsys):
    out = plan(monkeypatch, capsys, "qwen3-8b", "--step-seconds", "360", "--response-tokens", "1000")
    assert f"GPU-hours at 360 s a step: {200 * 360 / 3600 * 32:,.1f} a run" in out
    assert "819,200,000" in out


def test_sizes_that_nobody_states_are_asked_for(tmp_path, monkeypatch):
    params = read("qwen3-8b", policy__shape=None)
    from tokenspectrum.cli.plan import find_shape

    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"fill in policy\.shape"):
        find_shape(params)
    folder = tmp_path / "artifacts/qwen3-8b/policy/1"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        '{"hidden_size": 8, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 16, '
        '"vocab_size": 32, "tie_word_embeddings": false}'
    )
    assert find_shape(params)[0] == HubShape(
        hidden=8, heads=2, kv_heads=1, head_dim=4, intermediate=16, vocabulary=32, tied=False
    )
    with pytest.raises(UserError, match="no hidden_size"):
        shape_of({"num_attention_heads": 1}, "x")


def test_a_step_and_an_evaluation_cost_what_a_hand_count_says():
    params = read("qwen3-8b")
    speed = Speed(tflops=1000, passes=0.5, decoding=0.1)
    responses = 512 * 8
    decoding = 2 * 8e9 * responses * 1500 / (1e15 * 0.1) / 3600
    passes = (2 + 8) * 8e9 * responses * (1500 + 1024) / (1e15 * 0.5) / 3600
    step = step_hours(params.train, params.sampling, 8 * 10**9, 1500, speed, checkpointing=True)
    assert step == pytest.approx(decoding + passes)
    assert step > step_hours(params.train, params.sampling, 8 * 10**9, 1500, speed, checkpointing=False)
    assert problems_of(params) == 5000 + 272 + 675 + 30
    hours = evaluation_hours(params.evaluate, 5977, 8 * 10**9, 1500, speed)
    assert hours == pytest.approx(2 * 8e9 * 5977 * 8 * 1500 / 1e14 / 3600)


def test_a_measured_step_takes_the_place_of_the_assumed_one():
    """32 GPUs, 200 steps, 3 replicates; the rest is evaluation."""
    params = read("qwen3-8b")
    one, two = (prices(params, 8 * 10**9, 1500, seconds, 989.0).method for seconds in (100, 200))
    assert two - one == pytest.approx(100 * 32 * 200 * 3 / 3600)
    tiny = prices(read("tiny"), 10**5, 50, 2.0, 989.0)
    assert (tiny.unit, tiny.method) == ("machine", pytest.approx(2 * 40 * 3 / 3600))
    assert prices(read("tiny"), 10**5, 50, None, 989.0) is None


def test_trainings_that_rows_share_are_counted_once():
    found = prices(read("qwen3-8b"), 8 * 10**9, 1500, 3600 / 32, 989.0)
    needs = {"a": (), "b": ("full", "x"), "c": ("full", "y", "x"), "d": ("full", "x", "y", "full-s9")}
    columns = {c.header: list(c.cells) for c in price_table(found, needs, "result", 2 * found.method + 50).columns}
    assert columns["result"] == ["a", "b", "c", "d"]
    hours = [float(cell.replace(",", "")) for cell in columns["with those above"]]
    assert hours == pytest.approx([found.probe + k * found.method for k in (0, 2, 3, 3 + 1 / 3)], abs=0.51)
    assert columns["fits"] == ["yes", "yes", "no", "no"]


def test_what_the_preset_lacks_is_named_and_fits_no_budget():
    params = read("qwen3-8b")
    found = prices(params, 8 * 10**9, 1500, 3600 / 32, 989.0)
    assert {"forktemp", "lenses", "overlap", "transfer", "scaling"} <= lacking_results(params).keys()
    lacking = lacking_claims(params)
    assert {"A1", "A10", "A11", "A12", "A19", "F2", "F3", "F4", "F6", "N1"} <= lacking.keys()
    assert lacking["A10"] == "methods in run_gradients.methods"
    assert lacking_claims(read("evidence")).keys() == {"A19", "F6"}
    table = price_table(found, by_claim(params), "claim", 10**9, lacking)
    columns = {c.header: list(c.cells) for c in table.columns}
    fits = dict(zip(columns["claim"], columns["fits"], strict=True))
    assert {claim for claim, cell in fits.items() if cell == "yes"} == fits.keys() - lacking.keys()
    assert [c for c in columns["claim"] if c in ("A1", "A2", "A10", "A11")] == ["A1", "A2", "A10", "A11"]


def test_short_times_are_minutes_and_further_runs_are_no_methods():
    assert [hours(value) for value in (0, 0.2, 0.995, 1, 1234.4)] == ["0", "12 min", "60 min", "1", "1,234"]
    assert shown(["a", "b", "c", "full-s3", "full-s4"]) == "3: a, b, c, ... and 2 further runs"


def test_every_result_and_claim_is_priced_by_the_methods_that_it_reads():
    params = read("qwen3-8b")
    assert by_result(params)["table1"] == params.methods
    assert by_result(params)["scatter"] == ()
    assert by_claim(params)["A1"] == ("full", "random20")
    assert by_claim(params)["A6"] == ()
    evidence = by_claim(read("evidence"))
    assert {"full", "explorer20", "full-s11", "explorer20-s11"} <= set(evidence["A3"])
    assert "full" in evidence["A10"]


def test_a_budget_is_held_against_the_rows(monkeypatch, capsys):
    small = plan(monkeypatch, capsys, "qwen3-8b", "--response-tokens", 1500, "--gpu-hours", 1)
    large = plan(monkeypatch, capsys, "qwen3-8b", "--response-tokens", 1500, "--gpu-hours", 10**6)
    assert "│ yes " not in small.partition("GPU-hours by result")[2]
    assert "│ no " not in large.partition("GPU-hours by result")[2]
    fast = plan(monkeypatch, capsys, "qwen3-8b", "--response-tokens", 1500, "--gpu-tflops", 2000)
    assert "2000 TFLOP/s" in fast
    assert "GPU-hours by" not in plan(monkeypatch, capsys, "tiny")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--gpu-hours", "5"), "--gpu-hours: preset tiny asks for no GPU; give --step-seconds too"),
        (("--verl-config",), "--verl-config: preset tiny trains with local, not with verl"),
    ],
)
def test_an_option_that_says_nothing_of_a_preset_is_refused(monkeypatch, capsys, words, said):
    with pytest.raises(SystemExit, match=said):
        plan(monkeypatch, capsys, "tiny", *words)
    assert capsys.readouterr().out == ""
    assert "yes" in plan(monkeypatch, capsys, "tiny", "--step-seconds", 2, "--gpu-hours", 10**6)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('{"hidden_size": 8', "not valid JSON"),
        ("[]", "no JSON object"),
        ({"hidden_size": "x"}, "hidden_size is 'x', which is no size"),
        ({"hidden_size": None}, "no hidden_size"),
        ({"hidden_size": 2**40}, "hidden_size is 1099511627776, which is no size"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0, which is no size"),
        ({"num_attention_heads": 65}, "head_dim is 0, which is no size"),
        ({"num_key_value_heads": -1}, "num_key_value_heads is -1, which is no size"),
        ({"head_dim": [8]}, r"head_dim is \[8\], which is no size"),
        ({"intermediate_size": True}, "intermediate_size is True, which is no size"),
        ({"vocab_size": 99.5}, "vocab_size is 99.5, which is no size"),
    ],
)
def test_a_damaged_config_of_a_local_policy_is_one_line(tmp_path, monkeypatch, config, said):
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 99}
    text = config if isinstance(config, str) else json.dumps(sizes | config)
    params = read("one-gpu", policy={"kind": "hub", "source": str(tmp_path), "num_layers": 2})
    (tmp_path / "config.json").write_text(text)
    monkeypatch.chdir(tmp_path)  # without artifacts
    with pytest.raises(UserError, match=f"^{tmp_path}/config.json: {said}") as caught:
        find_shape(params)
    assert "\n" not in str(caught.value)
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    found = find_shape(params)[0]
    assert (found.kv_heads, found.head_dim) == (4, 16)


def test_a_folder_is_named_as_it_is_called(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "[team]/models:100:"
    folder.mkdir(parents=True)
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 99}
    (folder / "config.json").write_text(json.dumps(sizes))
    params = read("one-gpu", policy={"kind": "hub", "source": str(folder), "num_layers": 2})
    monkeypatch.setattr("tokenspectrum.cli.plan.load_params", lambda: params)
    assert f"(sizes: {folder}/config.json)" in plan(monkeypatch, capsys).replace("\n", "")

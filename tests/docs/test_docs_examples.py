"""Names and numbers that the pages give as examples, against what the presets make."""

import re
import shutil
import textwrap
from pathlib import Path

from tokenspectrum.params.presets import read_preset
from tokenspectrum.stages.prompts import choose_benchmarks, choose_training
from tokenspectrum.training.data import PromptOrder

ROOT = Path(__file__).resolve().parents[2]


def test_the_run_of_the_exported_page_trained_on_its_problem_at_its_step():
    page = (ROOT / "docs/view.md").read_text()
    asked = r"--run (\w+) --seed (\d+) --step (\d+) --prompt (\w+) +# a problem of preset tiny"
    ((run, seed, step, prompt),) = re.findall(asked, page)
    params = read_preset("tiny", ROOT / "presets").params
    assert run in params.methods
    assert int(seed) in params.seeds
    assert params.train.dynamic_sampling is None
    problems, _ = choose_training(params.prompts, choose_benchmarks(params.prompts)[0])
    ids = [problem.prompt_id for problem in problems]
    order = PromptOrder(tuple(ids), int(seed), params.train.prompts_per_step)
    assert prompt in [ids[i] for i in order.batch(int(step) - 1)]


def test_the_quickstart_is_a_preset_with_room_for_a_language_models_answers(tmp_path):
    """What it leaves to `tiny` cuts prompts at 96 tokens and responses at 90."""
    page = (ROOT / "docs/data.md").read_text()
    (text,) = re.findall(r"This is `presets/mine.yaml`:\n\n +```yaml\n(.*?)```", page, re.DOTALL)
    shutil.copy(ROOT / "presets/tiny.yaml", tmp_path)
    (tmp_path / "mine.yaml").write_text(textwrap.dedent(text))
    mine, tiny = (read_preset(name, tmp_path).params for name in ("mine", "tiny"))
    assert mine.policy.num_layers == 28
    for section in (mine.sampling, mine.evaluate):
        assert section.max_prompt_tokens >= 512
        assert section.max_response_tokens >= 1024
    assert mine.train.learning_rate < tiny.train.learning_rate / 100
    assert f"at least `train.prompts_per_step` ({mine.train.prompts_per_step}) training problems" in page

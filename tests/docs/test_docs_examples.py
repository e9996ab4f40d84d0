"""Names and numbers that the pages give as examples, against what the presets make."""

import re
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

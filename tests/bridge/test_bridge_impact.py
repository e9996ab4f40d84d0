"""Which stages an edit of a named file reruns, exactly, under the default params (trainer local, engine transformers).

A key holds only what can change the result, and all of it: a stage too many or too few is a mistake.
"""

from pathlib import Path

import pytest
from bridge_kit import ROOT

from snakedvc.code.impact import impact
from snakedvc.dvcfiles.load import load_pipeline
from snakedvc.dvcfiles.pipeline import Pipeline

SAMPLING = "evaluate evaluate_base hot_forks policy sample signals train"
EVERY = (
    "adaptive bases claims controls curves deciles differences dynamics estimability evaluate evaluate_base explorers "
    "forking forktemp geometry gradients hot_forks isolation layers layersweep lenses loss maps normalisation overlap "
    "pattern policy position power predictive prompts quadrants rescore_base rollouts sample scaling scatter seeds "
    "selective signals sparse strip support table1 table2 teachers tokens train transfer weights"
)
EDITS = {
    # What rounds: in every key.  What checks it: in none.
    "portable/pins.py": EVERY,
    "portable/kernels.py": EVERY,
    "portable/probes.py": "",
    "portable/known.json": "",
    # Systems code decides no result.
    "systems/params.py": "",
    "systems/resources.py": "",
    "systems/memory.py": "",
    "systems/progress.py": "",
    "systems/ray/places.py": "",
    "systems/ray/watchdog.py": "",
    # The command line is in no stage.
    "cli/main.py": "",
    "cli/sql.py": "",
    # What the params do not select.
    "training/backends/verl/worker.py": "",
    "training/backends/verl/driver.py": "",
    "training/backends/verl/internals.py": "",
    "rollout/engines/vllm/engine.py": "",
    "rollout/engines/given/__init__.py": "",
    # What they select, and what all trainers share.
    "training/backends/local/backend.py": "train",
    "training/dapo.py": "train",
    "training/loop.py": "train",
    "training/step.py": "train",
    "rollout/engines/transformers/engine.py": SAMPLING,
    "rollout/engines/transformers/sampling.py": SAMPLING,
    # Params: one module a section.
    "params/train.py": "train",
    "params/rules.py": "gradients weights",
    "params/sampling.py": "rollouts sample signals train",
    "params/reward.py": "evaluate evaluate_base hot_forks rollouts signals train",
    # Kernels and what reads their numbers; drawing and judging responses needs none.
    "entropy/kernel_attention.py": "rescore_base tokens train",
    "entropy/kernel_predictive.py": "rescore_base tokens train",
    "policy/capture.py": "policy rescore_base tokens train",
    "rollout/measure.py": "rescore_base tokens train",
    # Of rescore there is no job, as tiny names no method for it.
    "rollout/rescored.py": "rescore_base",
    "stages/rescore.py": "",
    "policy/kept.py": "evaluate",
    "training/mismatch.py": "train",
    "rollout/judged.py": "rollouts train",
    # Responses of a file: no reward is in the key of the stage that reads them.
    "rollout/given.py": "rollouts sample",
    "rollout/given_rewards.py": "rollouts",
    "tables/evaluated.py": "evaluate evaluate_base",
    "view/evaluated.py": "",
    # A rule: code.json says which training runs depend on it.
    "weighting/rules/_masks.py": "gradients weights",
    "weighting/rules/soft.py": "gradients weights",
    "weighting/rules/matched.py": "gradients weights",
    "weighting/apply.py": "gradients train weights",
    # The gradient stage: a policy, its probe, and the local trainer's log-probabilities.
    "gradients/pull.py": "gradients",
    "training/backends/local/pulls.py": "gradients train",
    "gradients/sparse.py": "gradients",
    # Stages that the default params leave out, or whose matrix is empty.
    "stages/run_gradients.py": "",
    "rollout/logged.py": "",
    "lenses/importance.py": "signals",
    "rollout/heat.py": "evaluate evaluate_base hot_forks policy sample signals train",
    "results/isolation/moments.py": "isolation",
    "training/backends/local/logprobs.py": "gradients train",
    "training/backends/local/head.py": "gradients train",
    "reward/normalise.py": "evaluate evaluate_base hot_forks policy prompts rollouts signals train",
    "prompts/synthetic.py": "policy prompts",
    "prompts/gym.py": "prompts",
    "prompts/solutions.py": "",
    "policy/gguf.py": "policy",
    "policy/tiny.py": "policy",
    # A result: its own stage, and what all results share.
    "results/curves/result.py": "curves",
    "results/table1/result.py": "table1",
    "results/layers/each.sql": "layers",
    "results/sparse/__init__.py": "sparse",
    "results/outcome/figure.py": "adaptive controls forking loss normalisation position predictive selective sparse "
    "table2",
    "results/claims/judge.py": "claims",
}


@pytest.fixture
def pipeline(monkeypatch) -> Pipeline:
    monkeypatch.chdir(ROOT)
    return load_pipeline()


@pytest.mark.parametrize("file", EDITS)
def test_an_edit_reruns_exactly(pipeline, file):
    direct, _ = impact(pipeline, f"src/tokenspectrum/{file}")
    assert " ".join(sorted({stage.name for stage in direct})) == EDITS[file]


def test_whoever_runs_a_rule_depends_on_its_code(pipeline):
    for stage in pipeline.stages.values():
        if stage.name == "train":
            (code,) = (path for path in stage.data if path.endswith("/code.json"))
            method = stage.addr.removeprefix("train@").rpartition("-")[0]
            assert pipeline.producers[code].addr.startswith(f"weights@{method}-")


@pytest.mark.parametrize(
    "room", ["entropy", "weighting", "reward", "training", "rollout", "evaluation", "policy", "prompts"]
)
def test_every_file_that_bears_on_a_result_is_in_a_key(pipeline, room):
    """Of the trainer and the engines, those that the params select; `selfcheck` and `solutions` are for people.

    `logged` is for run_gradients, which has no job by default.
    """
    people = ("prompts/selfcheck", "prompts/solutions")
    unselected = ("training/backends/verl", "rollout/engines/vllm", "rollout/engines/given", "rollout/logged", *people)
    for path in sorted(Path("src/tokenspectrum", room).rglob("*.py")):
        if not any(part in path.as_posix() for part in unselected):
            assert impact(pipeline, path.as_posix())[0], path

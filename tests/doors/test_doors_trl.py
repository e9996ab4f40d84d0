"""docs/use-in-your-trainer.md in TRL's own GRPOTrainer, and the completions that TRL logs, imported."""

import re
from pathlib import Path

import pytest
import torch
from kit.policy import write_letters

from tokenspectrum.importing import trl as dumped
from tokenspectrum.policy.load import load_policy

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/use-in-your-trainer.md").read_text()
pytest.importorskip("trl")


def example(section: str) -> dict:
    """The names that the page's code in this section defines."""
    code = re.search(rf"## {section}\n.*?```python\n(.*?)```", PAGE, re.DOTALL)
    assert code
    names: dict = {}
    exec(compile(code[1], f"use-in-your-trainer.md, {section}", "exec"), names)
    return names


def vowels(completions, **columns):
    """A reward that differs within a group."""
    return [float(sum(text.count(v) for v in "aeiou") + len(text) / 100) for text in completions]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tmp_path_factory.mktemp("trl"))


def train(root: Path, limit: int = 12, **options):
    """Two steps of the page's trainer on a policy of two layers; the trainer, its batches, and the output folder."""
    from datasets import Dataset
    from trl import GRPOConfig

    model, tokenizer = load_policy(write_letters(root / "policy"))
    trainer_class, batches = example("TRL")["WeightedGRPOTrainer"], []

    class Watched(trainer_class):
        def _generate_and_score_completions(self, inputs):
            batch = super()._generate_and_score_completions(inputs)
            batches.append({name: value.clone() for name, value in batch.items() if torch.is_tensor(value)})
            return batch

    config = GRPOConfig(
        output_dir=str(root / "out"),
        per_device_train_batch_size=4,
        num_generations=4,
        max_completion_length=limit,
        max_steps=2,
        learning_rate=1e-2,
        logging_steps=1,
        log_completions=True,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        bf16=False,
        seed=1,
        **options,
    )
    trainer = Watched(
        model=model,
        reward_funcs=vowels,
        args=config,
        train_dataset=Dataset.from_dict({"prompt": ["1+1=", "2+2=", "3+3="]}),
        processing_class=tokenizer,
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer.train()
    return trainer, batches, root / "out", before


def check_a_fifth_teaches(batches):
    assert len(batches) == 2
    for batch in batches:
        mask, advantages = batch["completion_mask"].bool(), batch["advantages"]
        assert advantages.shape == mask.shape
        for row, kept in zip(advantages, mask, strict=True):
            n = int(kept.sum())
            teaching = int((row != 0).sum())
            assert teaching in (0, max(1, int(0.2 * n + 0.5)))  # 0: a group of equal rewards
            assert not row[~kept].any()


def test_a_fifth_of_each_response_s_tokens_teaches(trained):
    trainer, batches, _, before = trained
    check_a_fifth_teaches(batches)
    after = trainer.model.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_completions_that_trl_masks_whole_teach_nothing(trained, tmp_path):
    _, batches, *_ = train(tmp_path, limit=40, mask_truncated_completions=True)
    check_a_fifth_teaches(batches)
    tokens = [int(n) for batch in batches for n in batch["completion_mask"].sum(1)]
    assert 0 in tokens
    assert any(tokens)
    # Which others there are changes nothing.
    trainer, (batch, _), *_ = trained
    weights = trainer.weights(batch)
    for masked in ([0], [1, 3], [0, 1, 2, 3]):
        mask = batch["completion_mask"].clone()
        mask[masked] = 0
        wanted = weights.clone()
        wanted[masked] = 0
        assert torch.equal(trainer.weights(batch | {"completion_mask": mask}), wanted)


def test_what_trl_logs_can_be_imported(trained):
    _, _, out, _ = trained
    records = list(dumped.read([out / "completions"]))
    assert {record.step for record in records} <= {0, 1, 2}
    assert len(records) == 8
    assert all(isinstance(record.prompt, str) and record.prompt.endswith("=") for record in records)
    assert all(record.reward == pytest.approx(vowels([record.response])[0]) for record in records)

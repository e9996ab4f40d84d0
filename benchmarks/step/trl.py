"""Steps of TRL's GRPOTrainer on the prompts, and if asked on the responses, that ours had.

Knows TRL.  Knows nothing of our trainer: the reward is the same function.
"""

import itertools
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from tokenspectrum.policy.load import load_policy
from tokenspectrum.reward.boxed import verify
from tokenspectrum.reward.overlong import overlong_penalty
from tokenspectrum.rollout.questions import read_questions


def rewarder(limit: int, buffer: int) -> Any:
    """The strict verifier's reward of each completion, with the overlong penalty: what a step of ours has too."""

    def reward(completions: list, completion_ids: list, gold: list[str], source: list[str], **_: Any) -> list[float]:
        texts = [text if isinstance(text, str) else text[0]["content"] for text in completions]
        judged = [verify(*of).reward_raw for of in zip(texts, gold, source, strict=True)]
        lengths = [len(ids) for ids in completion_ids]
        return [r + overlong_penalty(n, limit, buffer, 1.0) for r, n in zip(judged, lengths, strict=True)]

    return reward


def replay(given: list) -> Any:
    """TRL's `rollout_func` that gives the responses of a file, the next ones of a prompt at each call."""
    waiting = defaultdict(list)
    for _, prompt, response, logprobs in given:
        waiting[tuple(prompt)].append((response, logprobs))

    def rollout(prompts: list, trainer: Any) -> dict[str, list]:
        encode = trainer.processing_class.apply_chat_template
        ids = [encode(p, add_generation_prompt=True, tokenize=True, return_dict=False) for p in prompts]
        found = [waiting[tuple(prompt)].pop(0) for prompt in ids]
        return {"prompt_ids": ids, "completion_ids": [f[0] for f in found], "logprobs": [f[1] for f in found]}

    return rollout


def main(facts: dict) -> None:
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(1)
    prompts, samples, tokens, mini_batches, steps, buffer = facts["size"]
    model, tokenizer = load_policy(Path(facts["policy"]))
    given = json.loads(Path(facts["work"], "responses.json").read_text())
    asked = {q.prompt_id: q for q in next(iter(read_questions(Path(facts["prompts_at"])).values()))}
    questions = [asked[i] for i in dict.fromkeys(r[0] for r in given)]
    rows = [{"prompt": q.messages, "gold": q.ground_truth, "source": q.data_source} for q in questions]
    began: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            began.append(time.process_time())

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            began.append(time.process_time())

    config = GRPOConfig(
        output_dir=str(Path(facts["work"]) / "trl"),
        per_device_train_batch_size=prompts * samples // mini_batches,
        gradient_accumulation_steps=1,
        steps_per_generation=mini_batches,
        num_generations=samples,
        max_completion_length=tokens,
        max_steps=steps * mini_batches,
        learning_rate=2e-4,
        lr_scheduler_type="constant",
        top_entropy_quantile=0.2,
        loss_type="dapo",
        epsilon=0.2,
        epsilon_high=0.28,
        beta=0.0,
        temperature=1.0,
        top_p=0.95,
        top_k=0,
        max_grad_norm=1.0,
        shuffle_dataset=False,
        gradient_checkpointing=False,
        report_to=[],
        use_cpu=True,
        bf16=False,
        save_strategy="no",
        disable_tqdm=True,
        logging_steps=mini_batches,
        seed=1,
    )
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=rewarder(tokens, buffer),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[Clock()],
        rollout_func=replay(given) if facts["given"] else None,
    )
    trainer.train()
    marks = [*began[:-1:mini_batches], began[-1]]
    lengths = [row["completions/mean_length"] for row in trainer.state.log_history if "completions/mean_length" in row]
    found = {"given_cpu_seconds" if facts["given"] else "cpu_seconds": [b - a for a, b in itertools.pairwise(marks)]}
    found["response_tokens"] = round(sum(lengths) / len(lengths) * prompts * samples)
    flat = [row["frac_reward_zero_std"] for row in trainer.state.log_history if "frac_reward_zero_std" in row]
    found["without_advantage"] = f"{sum(flat) / len(flat):.2f}"
    found["logged"] = "means of a step"
    Path(facts["out"]).write_text(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

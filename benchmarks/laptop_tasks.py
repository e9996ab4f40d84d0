"""How often the model of the preset laptop is right on tasks of reasoning-gym: which of them can a training move?

    spectrum preset laptop && snakemake --profile local artifacts/laptop/policy/1
    python benchmarks/laptop_tasks.py [--policy artifacts/laptop/policy/1]

Each task has two of its own problems, with their answers, as worked examples in the chat; the first row has the chat
of the preset laptop-train.  Temperature 1, top-p 0.95.  A prompt is mixed if it has a right and a wrong response.
A task where one answer is right most of the time can be learnt without reading the question: the column
commonest_answer_percent says how often the commonest answer is right, of 300 problems.  Writes one CSV row a task.
"""

import argparse
import csv
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import torch
from machine import cpu_name

import tokenspectrum.portable  # noqa: F401
from tokenspectrum.params.presets import read_preset
from tokenspectrum.params.prompts import GymSource
from tokenspectrum.policy.chat import encode_prompt
from tokenspectrum.policy.load import load_policy
from tokenspectrum.policy.text import response_texts
from tokenspectrum.portable.kernels import install
from tokenspectrum.prompts.gym import make_tasks
from tokenspectrum.prompts.problem import Problem
from tokenspectrum.reward.boxed import verify
from tokenspectrum.reward.gold import decode_gold
from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine
from tokenspectrum.rollout.types import Prompt, Sampling

ROOT = Path(__file__).resolve().parents[1]
PROMPTS, EXAMPLES = 12, 2
SAMPLING = Sampling(temperature=1.0, top_p=0.95, max_tokens=32, n=4)
NAMES = {"min_num_statements": 2, "max_num_statements": 3}
TASKS = {
    "needle_haystack": NAMES,
    "letter_counting": {"min_words": 1, "max_words": 1},
    "syllogism": {},
    "chain_sum": {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1},
    "gcd": {"max_value": 20},
    "leg_counting": {"min_animals": 1, "max_animals": 1, "min_instances": 1, "max_instances": 2},
}
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] + '\n' + m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def with_examples(examples: list[Problem]) -> str:
    """A chat template with these problems and their answers before the first turn."""
    turns = [(p.text, f"The answer is \\boxed{{{decode_gold(p.answer).answers[0]}}}.") for p in examples]
    shown = "".join(
        f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n"
        for question, answer in turns
    )
    return "{% raw %}" + shown + "{% endraw %}" + CHAT


def commonest_answer_percent(source: GymSource, name: str) -> int:
    """How many of 300 problems have the commonest answer, in percent."""
    problems = make_tasks(source.model_copy(update={"size": 300}), name)
    golds = Counter(decode_gold(problem.answer).answers[0] for problem in problems)
    return round(100 * golds.most_common(1)[0][1] / len(problems))


def main() -> None:
    """Sample and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, default=ROOT / "artifacts/laptop/policy/1")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/laptop_tasks.csv")
    args = parser.parse_args()
    torch.set_num_threads(1)
    install()
    model, tokenizer = load_policy(args.policy)
    engine = TransformersEngine(model, tokenizer, batch_rows=64)
    own = read_preset("laptop-train", ROOT / "presets").params.policy.root.chat_template
    revision = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()
    rows = []
    for name, options, template in [("needle_haystack", NAMES, own), *((n, o, None) for n, o in TASKS.items())]:
        source = GymSource(kind="reasoning_gym", dataset=name, size=PROMPTS + EXAMPLES, seed=1, options=options)
        problems = make_tasks(source, name)
        tokenizer.chat_template = template or with_examples(problems[PROMPTS:])
        asked = problems[:PROMPTS]
        chats = [encode_prompt(tokenizer, [{"role": "user", "content": p.text}], 1000) for p in asked]
        # By place: a generator may repeat itself.
        prompts = [Prompt(str(i), *chat) for i, chat in enumerate(chats)]
        responses = engine.generate(prompts, SAMPLING, seed=0, step=0)
        texts = response_texts(tokenizer, [r.token_ids for r in responses])
        n = SAMPLING.n
        verdicts = [verify(text, asked[i // n].answer, asked[i // n].data_source) for i, text in enumerate(texts)]
        right = torch.tensor([v.correct for v in verdicts]).view(PROMPTS, n).float().mean(1)
        rows.append(
            {
                "task": name,
                "chat": "laptop-train" if template else "two examples",
                "responses": len(texts),
                "boxed_percent": round(100 * sum(v.answer is not None for v in verdicts) / len(texts)),
                "right_percent": round(100 * float(right.mean())),
                "mixed_percent": round(100 * float(((right > 0) & (right < 1)).float().mean())),
                "commonest_answer_percent": commonest_answer_percent(source, name),
                "prompt_tokens": round(sum(len(p.token_ids) for p in prompts) / PROMPTS),
                "response_tokens": round(sum(len(r.token_ids) for r in responses) / len(responses)),
                "device": cpu_name(),
                "revision": revision,
            }
        )
        with args.out.open("w", newline="") as f:
            writer = csv.DictWriter(f, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    print(args.out.read_text())


if __name__ == "__main__":
    main()

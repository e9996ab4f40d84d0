"""Rules, params, a random policy of 2 layers over 41 characters, and prompts: small enough for many whole runs."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen3Config

from tokenspectrum.params.reward import OverlongParams, RewardParams
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.params.train import TrainParams
from tokenspectrum.policy.save import save_policy
from tokenspectrum.prompts.problem import Problem
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.tables.prompts import SCHEMA
from tokenspectrum.tokenlog.reader import check_folder
from tokenspectrum.tokenlog.writer import write_file, write_manifest
from tokenspectrum.training.backends.local.trainer import train
from tokenspectrum.training.job import TrainJob
from tokenspectrum.weighting.registry import make_rule
from tokenspectrum.weighting.rule import Rule

torch.set_num_threads(1)
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789+= .?"
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}={% endif %}"
ANCHOR = make_rule(
    kind="anchor",
    denominator="selected",
    p=0.3,
    score="entropy_norm",
    layer=1,
    alignment="decision",
    scope="response",
    entropy_of="old",
)
LOW2HIGH = make_rule(
    kind="low2high",
    denominator="all",
    score="entropy_norm",
    layer=0,
    alignment="decision",
    tau=0.3,
    w_low=(1.0, 0.0),
    w_high=(0.0, 1.0),
    s_warm=3,
    eps_mode="exact",
)
UNIFORM = make_rule(kind="uniform", denominator="all")
TRAIN = {
    "trainer": "local",
    "dtype": "float32",
    "steps": 4,
    "prompts_per_step": 4,
    "mini_batches": 2,
    "learning_rate": 1e-3,
    "warmup_steps": 2,
    "weight_decay": 0.01,
    "betas": [0.9, 0.999],
    "grad_clip": 1.0,
    "clip": {"low": 0.2, "high": 0.28, "dual": 10.0},
    "keep_steps": [],
    "token_log": {
        "tokens": "every_step",
        "attention": "streaming",
        "layers": ["rule"],
        "local_window": 4,
        "row_stats": {"every": 2, "responses": 5, "rows": 7, "top_k": 3, "fixed_k": 4},
    },
}


def train_params(**changes) -> TrainParams:
    """TRAIN with changes; `token_log` given as a dict of changes."""
    merged = {**TRAIN, **changes, "token_log": {**TRAIN["token_log"], **changes.get("token_log", {})}}
    return TrainParams.model_validate_json(json.dumps(merged))


def write_policy(path: Path, *, config_class=Qwen3Config, tied: bool = True, **extra) -> Path:
    """A random policy of the given architecture; `extra` goes into its config."""
    vocab = {token: i for i, token in enumerate(["<pad>", "<eos>", *LETTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", chat_template=TEMPLATE
    )
    config = config_class(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=64,
        initializer_range=0.2,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
        **extra,
    )
    torch.manual_seed(7)
    save_policy(AutoModelForCausalLM.from_config(config), fast, path)
    return path


def write_prompts(root: Path, count: int) -> Path:
    problems = [Problem("sums", f"{i}+{3 * i % 7}" + " ?" * (i % 4), str(i)) for i in range(count)]
    columns = {
        "prompt_id": [problem.prompt_id for problem in problems],
        "data_source": ["sums"] * count,
        "prompt": [[{"role": "user", "content": problem.text}] for problem in problems],
        "ability": ["math"] * count,
        "reward_model": [{"style": "rule", "ground_truth": problem.answer} for problem in problems],
        "extra_info": [{"split": "train", "index": i, "problem": p.text, "meta": "{}"} for i, p in enumerate(problems)],
    }
    write_file(root / "train.parquet", SCHEMA, columns)
    write_manifest(root)
    return root


def make_job(
    root: Path,
    prompts: Path,
    policy: Path,
    *,
    rule: Rule = ANCHOR,
    train: dict | None = None,
    systems: dict | None = None,
    **fields,
) -> TrainJob:
    """A run of 4 steps with out and checkpoints under `root`; `train` and `systems` are changes to the params.

    Responses end when the policy happens to say so, and the overlong penalty makes their rewards differ.
    """
    job = TrainJob(
        run="method",
        seed=1,
        method="method",
        preset="test",
        policy_name="random",
        rule=rule,
        prompts=prompts,
        policy=policy,
        out=root / "out",
        metrics=root / "out" / "metrics",
        checkpoints=root / "checkpoints",
        train=train_params(**(train or {})),
        sampling=SamplingParams(temperature=1.0, top_p=0.95, n=4, max_prompt_tokens=16, max_response_tokens=16),
        reward=RewardParams(integer_sources=(), overlong=OverlongParams(buffer=12, factor=1.0)),
        systems=SystemsParams(
            **{
                "threads": 1,
                "micro_batch": 8,
                "generate_batch": 256,
                "checkpoint_every": 2,
                "tensorboard": False,
                **(systems or {}),
            }
        ),
    )
    return replace(job, **fields)


def tree(root: Path) -> dict[str, str]:
    """Every file under `root` by its sha256."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def run(job: TrainJob) -> dict[str, str]:
    """Train to the end, check the manifests, and give every output by its sha256."""
    train(job)
    for part in ("policy", "metrics", "tokenlog"):
        check_folder(job.out / part)
    return tree(job.out)

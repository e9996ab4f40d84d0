"""A random policy whose tokens are digits and whole boxed answers, prompts for it, and params: for whole stages."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from tokenspectrum.policy.save import save_policy
from tokenspectrum.prompts.problem import Problem
from tokenspectrum.stages import rollouts, sample
from tokenspectrum.tables.prompts import SCHEMA
from tokenspectrum.tokenlog.writer import write_file, write_manifest

torch.set_num_threads(1)
TOKENS = ["<pad>", "<eos>", *"0123456789+", *(f"\\boxed{{{d}}}" for d in range(10))]
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
PARAMS = {
    "sampling": {"temperature": 1.0, "top_p": 0.95, "n": 4, "max_prompt_tokens": 6, "max_response_tokens": 10},
    "reward": {"integer_sources": ["sums"], "overlong": {"buffer": 4, "factor": 1.0}},
    "rollouts": {"engine": "transformers", "prompts": 5, "choose": "hash", "seed": 3, "shards": [1]},
    "tokens": {
        "layers": "all",
        "alignment": "decision",
        "local_window": 3,
        "top_k": 3,
        "fixed_k": 4,
        "support": True,
        "rows": 6,
    },
    "evaluate": {
        "engine": "transformers",
        "samples": 8,
        "temperature": 1.0,
        "top_p": 0.7,
        "max_prompt_tokens": 6,
        "max_response_tokens": 10,
        "steps": ["final"],
    },
    "train": {"dtype": "float32"},
    "systems": {"threads": 1, "micro_batch": 8, "generate_batch": 16, "checkpoint_every": 5, "tensorboard": False},
}


def make_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(TOKENS)}, unk_token="+"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\\boxed\{.\}|."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", chat_template=TEMPLATE
    )


def write_policy(path: Path, seed: int = 0) -> Path:
    tokenizer = make_tokenizer()
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        initializer_range=0.3,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)
    save_policy(Qwen3ForCausalLM(config), tokenizer, path)
    return path


def write_questions(root: Path, problems: Mapping[str, Sequence[Problem]]) -> Path:
    """A folder like those of the prompts stage: name -> <name>.parquet."""
    for name, of_file in problems.items():
        columns = {
            "prompt_id": [p.prompt_id for p in of_file],
            "data_source": [p.data_source for p in of_file],
            "prompt": [[{"role": "user", "content": p.text}] for p in of_file],
            "ability": ["math"] * len(of_file),
            "reward_model": [{"style": "rule", "ground_truth": p.answer} for p in of_file],
            "extra_info": [
                {"split": "train", "index": i, "problem": p.text, "meta": "{}"} for i, p in enumerate(of_file)
            ],
        }
        write_file(root / f"{name}.parquet", SCHEMA, columns)
    write_manifest(root)
    return root


def sums(count: int, first: int = 1) -> list[Problem]:
    """Sums of one to four terms, so that some prompts are longer than 6 tokens."""
    texts = ["+".join(str((i + j) % 10) for j in range(1 + i % 4)) for i in range(first, first + count)]
    return [Problem("sums", f"{text}+{i}", str(i % 10)) for i, text in enumerate(texts)]


def write_params(path: Path, **changes: Mapping) -> Path:
    """params.yaml with `changes` (section -> changed fields) at `path`; JSON is YAML."""
    sections = {name: {**fields, **changes.get(name, {})} for name, fields in PARAMS.items()}
    path.write_text(json.dumps(sections))
    return path


def run_shard(home: Path, samples: Path, shard: int = 1) -> None:
    """The sample stage, on `home`'s prompts and policy: fills `samples/<shard>`."""
    flags = {"prompts": home / "prompts", "policy": home / "policy", "out": samples / str(shard), "shard": shard}
    sample.main([str(word) for flag, value in flags.items() for word in (f"--{flag}", value)])


def run_rollouts(home: Path, out: Path, shards: Sequence[int] = (1,)) -> None:
    """The stages sample, once a shard, and rollouts; the shards lie beside `out`."""
    samples = out.with_name(f"{out.name}-samples")
    for shard in shards:
        run_shard(home, samples, shard)
    flags = {"samples": samples, "prompts": home / "prompts", "policy": home / "policy", "out": out}
    rollouts.main([str(word) for flag, value in flags.items() for word in (f"--{flag}", value)])

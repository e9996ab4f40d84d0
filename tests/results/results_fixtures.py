"""A small artifacts folder with every table, written with the token log's own writer: two methods, two replicates.

No base policy has the number of a seed, so that whoever takes one for the other finds nothing.
"""

import struct
from pathlib import Path

import numpy as np
import yaml
from kit.tables import attention_columns, places, prompt_columns, response_columns, token_columns, write_vocab

from tokenspectrum.prompts.problem import Problem
from tokenspectrum.results.sources import Wanted
from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.reader import read_file
from tokenspectrum.tokenlog.writer import write_file, write_json, write_manifest, write_step

METHODS, SEEDS, BASES, STEPS, BENCHMARKS = ("full", "explorer20"), (1, 2), (7, 8), 4, ("easy", "hard")
REPLICATES = [{"seed": seed, "base": base} for seed, base in zip(SEEDS, BASES, strict=True)]
WANTED = Wanted(METHODS, SEEDS, BASES, probed=("explorer20",))
WORDS = ("the", "sum", "is", "so", "7", "+", "\\boxed", " ")
LENGTHS = (1, 2, 7, 12, 5, 30, 3, 18)  # ragged, with a response of one token
LAYERS = (1, 3)
N_PROMPT = 5

PARAMS = {
    "preset": "small",
    "policy": {"kind": "tiny"},
    "methods": list(METHODS),
    "bases": list(BASES),
    "replicates": REPLICATES,
    "extra_runs": [],
    "prompts": {
        "benchmarks": [
            {"name": "easy", "source": {"kind": "stand_in", "benchmark": "math", "n": 6, "seed": 0}},
            {"name": "hard", "source": {"kind": "stand_in", "benchmark": "aime24", "n": 5, "seed": 0}},
        ]
    },
    "rules": {"full": {"kind": "uniform"}, "explorer20": {"kind": "explorer", "alignment": "token"}},
    "tokens": {"alignment": "decision", "support": True, "rows": 6},
    "gradients": {
        "subsets": {"explorer20": {"kind": "explorer", "denominator": "selected"}},
        "matched": {"alike": {"of": "explorer20"}},
        "deciles": {"score": "entropy_norm"},
    },
    "run_gradients": {"methods": ["explorer20"], "steps": [1, 3]},
    "train": {"token_log": {"layers": ["mid", "rule"]}},
    "analysis": {
        "table1": {
            "labels": {"base": "Base policy", "full": "Full-token DAPO", "explorer20": "Explorer 20 %"},
            "reference": "full",
            "survivors": ["explorer20"],
            "last_checkpoints": 1,
            "collapse": {"window": 2, "length_below": 0.5, "length_above": 2.0, "reward_drop": 0.5},
            "alpha": 0.05,
            "power": 0.8,
            "bootstrap": {"draws": 200, "seed": 0},
            "about_zero": 1.0,
        },
        **{name: {} for name in ("bases", "claims", "maps", "pattern", "quadrants", "scatter", "strip", "support")},
        "isolation": {"draws": 100},
        "estimability": {},
        "forktemp": {"draws": 100},
        "lenses": {"layer": 1},
        "curves": {"metrics": ["reward", "length", "attention_entropy"], "smooth": 1},
    },
}


# Results that compare methods: those that there are, one window, and a panel of each kind.
OUTCOMES = (
    *("adaptive", "controls", "forking", "layersweep", "loss", "normalisation", "position", "predictive"),
    *("selective", "sparse", "table2"),
)
SHAPE = {
    "methods": list(METHODS),
    "reference": "full",
    "contrasts": [],
    "windows": [1],
    "curves": ["reward", "grad_norm", "Avg", "hardest", "benchmarks"],
    "smooth": 1,
}
PARAMS["analysis"] |= dict.fromkeys(OUTCOMES, SHAPE)
PARAMS["analysis"]["layersweep"] = SHAPE | {"sweep": [["explorer", "mid", "explorer20"]]}
PARAMS["analysis"] |= {
    "transfer": {"methods": list(METHODS)},
    "scaling": {"methods": list(METHODS)},
    "power": {},
    "explorers": {"methods": list(METHODS)},
    "overlap": {"methods": list(METHODS)},
    **{name: {} for name in ("forktemp", "isolation", "lenses")},
}
PARAMS["analysis"]["dynamics"] = {"methods": list(METHODS), "layer": 1, "p": 0.2}


def write_prompts(folder: Path, source: str, n: int) -> list[str]:
    ids = [f"{source}-{i:02d}".ljust(16, "0") for i in range(n)]
    problems = [Problem(source, f"{i} + 1 = ?", str(i + 1)) for i in range(n)]
    write_file(folder / f"{source}.parquet", TABLES["prompts"], prompt_columns(problems, "test", ids))
    return ids


def write_tokens(root: Path, attention_root: Path, rng: np.random.Generator, **keys) -> None:
    columns = token_columns(rng, LENGTHS, 0, len(WORDS))
    write_step(root, "tokens", TABLES["tokens"], columns, **keys)
    attention = attention_columns(rng, columns, LAYERS, N_PROMPT)
    write_step(attention_root, "attention", TABLES["attention"], attention, **keys)
    # Rows of every token of the longest response at one layer: of alignment decision, so N_PROMPT + position long.
    longest = LENGTHS.index(max(LENGTHS))
    places_T = range(LENGTHS[longest])
    own = np.random.default_rng(0)
    kept = [own.dirichlet(np.ones(N_PROMPT + t)).astype(np.float16) for t in places_T]
    rows = {"response_id": [0] + [longest] * len(kept), "position": [0, *places_T], "layer": [3] + [1] * len(kept)}
    rows["row"] = [np.array([0.25, 0.75], np.float16), *kept]
    write_step(attention_root, "attention_rows", TABLES["attention_rows"], rows, **keys)


def write_responses(root: Path, prompt_ids: list[str], **keys) -> None:
    n = len(LENGTHS)
    given = {"prompt_id": [prompt_ids[i // 2] for i in range(n)], "sample": np.arange(n) % 2}
    given |= {"text": ["so \\boxed{1}"] * n, "n_prompt": [N_PROMPT] * n}
    write_step(root, "responses", TABLES["responses"], response_columns(LENGTHS, **given), **keys)


def write_metrics(
    root: Path, run: str, seed: int, lengths: list[float], rewards: list[float], realised: list[str] | None = None
) -> None:
    """metrics of one run: a row a step, with these mean lengths and rewards, and what its rule came to as JSON."""
    fields = [f for f in TABLES["metrics"] if f.name != "score_at_cut"]
    for step, (length, reward) in enumerate(zip(lengths, rewards, strict=True), 1):
        row = {f.name: [[0.5]] if f.name in ("s_m", "grad_norm") else [0.25 + 0.01 * seed * step] for f in fields}
        row |= {
            "skipped": [0],
            "length": [length],
            "reward": [reward],
            "realised": [realised[step - 1] if realised else "{}"],
        }
        write_step(root, "metrics", TABLES["metrics"], row, run=run, seed=seed, step=step)
    write_manifest(root)


def write_scores(root: Path, run: str, seed: int, step: int, right: dict[str, np.ndarray]) -> None:
    """scores of one run: right[benchmark] is problems x samples of 0 and 1."""
    for benchmark, right_PK in right.items():
        n_problems, n_samples = right_PK.shape
        columns = {
            "benchmark": [benchmark] * right_PK.size,
            "prompt_id": np.repeat([f"{benchmark}-{i:02d}".ljust(16, "0") for i in range(n_problems)], n_samples),
            "sample": np.tile(np.arange(n_samples), n_problems),
            "answer": ["1"] * right_PK.size,
            "correct": right_PK.ravel().astype(bool),
            "correct_alt": right_PK.ravel().astype(bool),
            "n_tokens": [5] * right_PK.size,
        }
        write_step(root, "scores", TABLES["scores"], columns, run=run, seed=seed, step=step, name=benchmark)


def write_evaluated(scores: Path, root: Path, run: str, seed: int, step: int) -> None:
    """evaluated of the same samples as in the folder `scores`: two tokens each."""
    for path in sorted((scores / f"scores/run={run}/seed={seed}/step={step}").glob("*.parquet")):
        keys = read_file(path, columns=["benchmark", "prompt_id", "sample"]).to_pydict()
        n = len(keys["sample"])
        columns = keys | {"text": ["so 1"] * n, "n_prompt": [N_PROMPT] * n, "finish_reason": ["stop"] * n}
        columns |= {"token_ids": [[3, 4]] * n, "rollout_logprobs": [[-0.5, -0.25]] * n}
        write_step(root, "evaluated", TABLES["evaluated"], columns, run=run, seed=seed, step=step, name=path.stem)
    write_manifest(root)


def random_right(rng: np.random.Generator, p: float) -> dict[str, np.ndarray]:
    return {"easy": rng.random((6, 4)) < p, "hard": rng.random((5, 4)) < p / 2}


def write_base(artifacts: Path, base: int, prompt_ids: list[str], rng: np.random.Generator) -> None:
    """Everything up to the weights, of one base policy."""
    keys = {"run": "base", "seed": base, "step": 0}
    types = ["word"] * 4 + ["digit", "operator", "special", "whitespace"]
    write_vocab(artifacts / f"vocab/{base}", "tiny", WORDS, types)
    write_responses(artifacts / f"rollouts/{base}", prompt_ids, **keys)
    asked = {"prompt_id": prompt_ids, "token_ids": [[(i + j) % len(WORDS) for j in range(N_PROMPT)] for i in range(4)]}
    asked["n_dropped"] = [0] * 4
    write_step(artifacts / f"rollouts/{base}", "prompt_tokens", TABLES["prompt_tokens"], asked, **keys)
    write_tokens(artifacts / f"tokens/{base}", artifacts / f"attention/{base}", rng, **keys)
    for folder in ("rollouts", "tokens", "attention"):
        write_manifest(artifacts / f"{folder}/{base}")
    n = sum(LENGTHS)
    write_gradients(artifacts / f"gradients/{base}", n, rng, **keys)
    write_signals(artifacts / f"signals/{base}", np.random.default_rng(base), **keys)
    write_hot_forks(artifacts / f"hot_forks/{base}", np.random.default_rng(base), **keys)
    for method in METHODS:
        weights = artifacts / f"weights/{method}-b{base}"
        write_json(weights / "rule.json", {"kind": "uniform", "denominator": "all"})
        write_json(weights / "realised.json", {"kept_fraction": 1.0, "tokens": n})
        columns = places(LENGTHS) | {"rule": [method] * n, "selected": [True] * n, "weight": np.ones(n)}
        write_step(weights / "table", "weights", TABLES["weights"], columns, **keys)
        write_manifest(weights / "table")


def write_gradients(root: Path, n: int, rng: np.random.Generator, **keys) -> None:
    """All tables: subsets and ten deciles under both denominators, every token, and random masks."""
    names = ["full", "explorer20", "alike", *(f"decile{d}" for d in range(10)), "anchors_l1", "explorers_l1"]
    subsets = [(name, denominator) for name in names for denominator in ("all", "selected")]
    columns = {"subset": [name for name, _ in subsets], "denominator": [d for _, d in subsets]}
    columns |= {"layer": [None if name == "full" else 1 for name in columns["subset"]], "tokens": [n] * len(subsets)}
    columns |= {name: rng.random(len(subsets)) + 0.1 for name in ("norm_ratio", "cosine", "proj_ratio", "gain")}
    columns["overlap"] = [0.25 if name == "alike" else None for name in columns["subset"]]
    write_step(root, "gradients", TABLES["gradients"], columns, **keys)
    norm = [None if i % 3 else float(norm) for i, norm in enumerate(rng.random(n) + 0.5)]
    tokens = places(LENGTHS) | {"norm": norm, "dot": rng.normal(1, 1, n), "accuracy_dot": rng.normal(1, 1, n)}
    write_step(root, "token_gradients", TABLES["token_gradients"], tokens, **keys)
    masks = [(kind, p, draw) for p in (0.1, 0.5) for draw in range(3) for kind in ("expected", "selected")]
    masks += [("signs", 1.0, draw) for draw in range(4)]
    sparse = {name: [mask[i] for mask in masks] for i, name in enumerate(("estimator", "p", "draw"))}
    sparse |= {"batch": [n] * len(masks), "tokens": [n // 2] * len(masks), "error": rng.random(len(masks)) + 0.1}
    sparse["cosine"] = [None if kind == "signs" else float(rng.random()) for kind, _, _ in masks]
    write_step(root, "sparse_gradients", TABLES["sparse_gradients"], sparse, **keys)
    write_manifest(root)


def write_signals(root: Path, rng: np.random.Generator, **keys) -> None:
    """Half of the tokens of every response; importance is missing at the end of each."""
    every = places(LENGTHS)
    kept = rng.random(sum(LENGTHS)) < 0.7
    rows = {name: value[kept] for name, value in every.items()}
    n = int(kept.sum())
    last = dict(zip(rows["response_id"].tolist(), rows["position"].tolist(), strict=True))
    rows |= {name: rng.random(n) for name in ("information", "before", "after")}
    rows["variance"] = rng.integers(0, 4, n) / 10
    pairs = zip(rows["response_id"].tolist(), rows["position"].tolist(), strict=True)
    rows["importance"] = [None if last[r] == t else float(rng.random()) for r, t in pairs]
    write_step(root, "signals", TABLES["signals"], rows, **keys)
    write_manifest(root)


def write_hot_forks(root: Path, rng: np.random.Generator, **keys) -> None:
    """Three temperatures, two benchmarks of four problems, two samples."""
    rows = [
        (heated, t, 0.7, benchmark, f"{benchmark}-{i}", sample, bool(rng.random() < 0.5), int(rng.integers(3, 9)))
        for heated in ("forks", "others")
        for t in (0.5, 1.0, 2.0)
        for benchmark in BENCHMARKS
        for i in range(4)
        for sample in range(2)
    ]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(TABLES["hot_forks"].names)}
    write_step(root, "hot_forks", TABLES["hot_forks"], columns, **keys)
    write_manifest(root)


def write_rescored(root: Path, base: int, rng: np.random.Generator, **keys) -> None:
    """The probe of `base` under another policy.  Few distinct entropies, as in `token_columns`."""
    n = sum(LENGTHS)
    columns = places(LENGTHS) | {"base": [base] * n, "logprob": -rng.random(n)}
    columns |= {"predictive_entropy": rng.integers(0, 6, n) / 4}
    write_step(root, "rescored", TABLES["rescored"], columns, **keys)
    write_manifest(root)


def write_artifacts(artifacts: Path) -> None:
    rng = np.random.default_rng(0)
    prompt_ids = write_prompts(artifacts / "prompts" / "train", "train", 4)
    write_manifest(artifacts / "prompts" / "train")
    for benchmark in BENCHMARKS:
        write_prompts(artifacts / "prompts" / "benchmarks", benchmark, 6)
    write_manifest(artifacts / "prompts" / "benchmarks")
    for base in BASES:
        write_base(artifacts, base, prompt_ids, np.random.default_rng(base))
    for method in METHODS:
        for seed in SEEDS:
            write_metrics(artifacts / "metrics" / f"{method}-s{seed}", method, seed, [10.0] * STEPS, [0.0] * STEPS)
            log = artifacts / "train" / f"{method}-s{seed}" / "tokenlog"
            run = {"method": method, "rule": "{}", "preset": "small", "trainer": "local", "policy": "tiny"}
            write_step(log, "runs", TABLES["runs"], {k: [v] for k, v in run.items()}, run=method, seed=seed, step=None)
            for step in range(1, STEPS + 1):
                keys = {"run": method, "seed": seed, "step": step}
                write_tokens(log, log, rng, **keys)
                write_responses(log, prompt_ids, **keys)
            write_manifest(log)
            if method == "explorer20":
                for step in (1, 3):
                    write_gradients(
                        artifacts / f"run_gradients/{method}-s{seed}",
                        sum(LENGTHS),
                        np.random.default_rng(10 * seed + step),
                        run=method,
                        seed=seed,
                        step=step,
                    )
            scores = artifacts / "evaluate" / f"{method}-s{seed}"
            write_scores(scores, method, seed, STEPS, random_right(rng, 0.9 if method == "full" else 0.5))
            write_manifest(scores)
            write_evaluated(scores, artifacts / "evaluated" / scores.name, method, seed, STEPS)
    for seed, base in zip(SEEDS, BASES, strict=True):
        for method, step in ((method, step) for method in METHODS for step in (2, 4)):
            folder = artifacts / f"rescore/{method}-s{seed}"
            write_rescored(folder, base, rng, run=method, seed=seed, step=step)
        for scorer in BASES:
            write_rescored(artifacts / f"rescore_base/{base}-{scorer}", base, rng, run="base", seed=scorer, step=0)
    for seed in SEEDS:
        scores = artifacts / "evaluate_base" / f"s{seed}"
        write_scores(scores, "base", seed, 0, random_right(rng, 0.3))
        write_manifest(scores)
        write_evaluated(scores, artifacts / "evaluated_base" / scores.name, "base", seed, 0)


def save_params(values: dict) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(values))


def chunks(png: bytes) -> set[bytes]:
    """The kinds of a PNG's parts; a text goes by its keyword."""
    kinds, at = set(), 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        kinds.add(png[at + 8 : at + 8 + length].split(b"\0")[0] if kind in (b"tEXt", b"iTXt", b"zTXt") else kind)
        at += length + 12
    return kinds

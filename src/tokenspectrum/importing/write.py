"""Records of one step as a preset: problems, the table `given`, and a preset file that names both.

Results need groups of equal size.  So prompts with fewer responses than asked for are left out, and counted.  Knows no
trainer.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from tokenspectrum.errors import UserError
from tokenspectrum.importing.records import Record
from tokenspectrum.importing.tokenised import Encoder, Tokenised
from tokenspectrum.params.presets import read_preset
from tokenspectrum.prompts.problem import Problem
from tokenspectrum.tables.given import SCHEMA
from tokenspectrum.tokenlog.writer import as_table, atomic_path, write_file

_LARGEST_K = 32  # of the tiny preset, which the new one extends
UNKNOWN = "unknown"  # the gold answer of a problem that was dumped without one


@dataclass(frozen=True)
class Imported:
    """What became of the records."""

    step: int
    prompts: int
    responses: int
    n: int
    longest_prompt: int
    longest_response: int
    most_seen: int  # positions that the row of any token sees
    left_out: int  # responses of prompts with fewer than n, and those beyond n
    inexact: int  # prompts whose chat template was not found in their text
    golds: int
    rewards: int
    unrewarded: str | None  # file and line of the first response without a reward
    problems: Sequence[Mapping[str, str]]
    table: pa.Table  # given


def of_step(records: Iterable[Record], step: int | None) -> list[Record]:
    """The records of that step; of the last one there is, if None."""
    every = list(records)
    if not every:
        raise UserError("import: the files hold no response that can be imported")
    steps = sorted({record.step for record in every})
    wanted = steps[-1] if step is None else step
    if wanted not in steps:
        raise UserError(
            f"--step {wanted}: the files hold {', '.join(map(str, steps[:10]))}{' ...' * (len(steps) > 10)}"
        )
    return [record for record in every if record.step == wanted]


def gather(records: Sequence[Record], encoder: Encoder, name: str, n: int | None) -> Imported:
    """What is to be written, checked.  `n`: responses a prompt; None: the most frequent number."""
    groups: dict[str, list[tuple[Record, Tokenised]]] = {}
    for record, tokenised in zip(records, _told_apart([_encoded(r, encoder) for r in records], encoder), strict=True):
        problem = Problem(name, tokenised.problem.strip(), UNKNOWN)
        groups.setdefault(problem.prompt_id, []).append((record, tokenised))
    golds = {prompt_id: _gold(group) for prompt_id, group in groups.items()}
    size = n or Counter(map(len, groups.values())).most_common(1)[0][0]
    kept = {prompt_id: group[:size] for prompt_id, group in groups.items() if len(group) >= size}
    if not kept:
        raise UserError(f"--samples {size}: no prompt has so many responses; the largest group has {_largest(groups)}")
    rows = [_row(prompt_id, i, *pair) for prompt_id, group in kept.items() for i, pair in enumerate(group)]
    return Imported(
        step=records[0].step,
        prompts=len(kept),
        responses=len(rows),
        n=size,
        longest_prompt=max(len(row["prompt_token_ids"]) for row in rows),
        longest_response=max(len(row["token_ids"]) for row in rows),
        most_seen=max(len(row["prompt_token_ids"]) + len(row["token_ids"]) - 1 for row in rows),
        left_out=len(records) - len(rows),
        inexact=sum(not group[0][1].exact for group in kept.values()),
        golds=sum(golds[prompt_id] is not None for prompt_id in kept),
        rewards=sum(row["reward"] is not None for row in rows),
        unrewarded=next((r.where for group in kept.values() for r, _ in group if r.reward is None), None),
        problems=[
            {"problem": group[0][1].problem, "answer": golds[prompt_id] or UNKNOWN, "data_source": name}
            for prompt_id, group in kept.items()
        ],
        table=as_table(SCHEMA, {key: [row[key] for row in rows] for key in SCHEMA.names}),
    )


def _encoded(record: Record, encoder: Encoder) -> Tokenised:
    if not record.response:
        raise UserError(f"{record.where}: an empty response; leave the row out")
    tokenised = encoder.encode(record)
    if not tokenised.problem.strip():
        raise UserError(f"{record.where}: an empty prompt; leave the row out")
    return tokenised


def _told_apart(every: Sequence[Tokenised], encoder: Encoder) -> list[Tokenised]:
    """The same, but that prompts of other tokens are other problems.

    Chats may end in the same user's turn behind other system prompts or earlier turns: then the whole prompt is the
    problem.  Where that is the same too, as it is but for blanks at an end, the tokens stand behind it.  A group's
    advantages compare answers to one prompt.
    """

    def whole(one: Tokenised) -> str:
        return encoder.whole(one.prompt_ids)

    found = list(every)
    for text in (whole, lambda one: f"{whole(one)}\n{list(one.prompt_ids)}"):
        prompts: dict[str, set[tuple[int, ...]]] = {}
        for one in found:
            prompts.setdefault(one.problem.strip(), set()).add(one.prompt_ids)
        shared = {problem for problem, ids in prompts.items() if len(ids) > 1}
        found = [replace(one, problem=text(one)) if one.problem.strip() in shared else one for one in found]
    return found


def write_import(imported: Imported, folder: Path, preset: Path, text: str) -> None:
    """Write folder/responses.parquet, folder/problems.jsonl, and last the preset, whose text is `text`."""
    _check_preset(preset, text)
    write_file(folder / "responses.parquet", SCHEMA, imported.table)
    with atomic_path(folder / "problems.jsonl") as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(problem, ensure_ascii=False) + "\n" for problem in imported.problems)
    with atomic_path(preset) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _check_preset(preset: Path, text: str) -> None:
    """Read the preset beside copies of the others, so that one which is refused never gets its name."""
    with TemporaryDirectory() as beside:
        for path in preset.parent.glob("*.yaml"):
            shutil.copy(path, beside)
        Path(beside, preset.name).write_text(text, encoding="utf-8")
        try:
            read_preset(preset.stem, Path(beside))
        except UserError as e:
            raise UserError(str(e).replace(beside, preset.parent.as_posix())) from None


def _gold(group: Sequence[tuple[Record, Tokenised]]) -> str | None:
    """The gold answer that the rows of a prompt share.  A UserError names two that differ."""
    known = [record for record, _ in group if record.gold is not None]
    for record in known:
        if record.gold != known[0].gold:
            raise UserError(
                f"{record.where}: the gold answer is {record.gold!r:.60}, and {known[0].gold!r:.60} for the same "
                f"prompt in {known[0].where}; a prompt has one: correct them"
            )
    return known[0].gold if known else None


def preset_text(
    imported: Imported,
    folder: Path,
    name: str,
    policy: Mapping[str, Any],
    theirs: bool,
    micro_batch: int | None = None,
) -> str:
    """The preset's YAML: the tiny one with these problems, these responses and this policy, and no training planned."""
    systems = "" if micro_batch is None else f"\nsystems: {{micro_batch: {micro_batch}}}\n"
    hub = json.dumps({"kind": "hub", **policy})
    # Statistics of the K first and k largest positions are refused where no context has so many.
    short = imported.most_seen <= _LARGEST_K
    counts = "tokens: {top_k: null, fixed_k: null}\ntrain: {token_log: {row_stats: null}}\n\n" if short else ""
    return f"""\
# {imported.responses} responses to {imported.prompts} prompts, sampled elsewhere: `spectrum import` wrote this file.
# Its policy scores them.  `snakemake --profile local results/scatter.csv` needs no training.

extends: tiny
preset: {name}
methods: [full, random20, anchor20, explorer20, pred_high20, low2high_mid]
bases: [1]
replicates: [{{seed: 1, base: 1}}]

prompts:
  folder: {folder.as_posix()}
  decontaminate: false
  train:
    - name: {name}
      source: {{kind: file, path: problems.jsonl, format: simple}}
  benchmarks:
    - name: MATH
      source: {{kind: stand_in, benchmark: math, n: 8, seed: 1}}

policy: {hub}

reward: {{overlong: null}}

{counts}sampling:
  max_prompt_tokens: {imported.longest_prompt}
  max_response_tokens: {imported.longest_response}

rollouts:
  engine: given
  prompts: {imported.prompts}
  choose: first
  given:
    path: {(folder / "responses.parquet").as_posix()}
    n: {imported.n}
    rewards: {"theirs" if theirs else "ours"}
{systems}"""


def _row(prompt_id: str, sample: int, record: Record, tokenised: Tokenised) -> dict[str, Any]:
    if not tokenised.ids:
        raise UserError(f"{record.where}: an empty response; leave the row out")
    return {
        "prompt_id": prompt_id,
        "sample": sample,
        "prompt_token_ids": tokenised.prompt_ids,
        "token_ids": tokenised.ids,
        "finish_reason": "stop" if tokenised.ended else "length",
        "logprobs": record.logprobs,
        "reward": record.reward,
    }


def _largest(groups: Mapping[str, Sequence[Any]]) -> int:
    return max(map(len, groups.values()))

r"""The strict verifier beside math-verify, on labelled pairs of a gold and a boxed answer.

The golds are those of published files (--data: a folder with benchmarks/ and train/; nothing is copied here).  Rules
make the answers: respellings, which are right, and answers with another value, which are wrong.  The cases of
verifier_cases.csv, met as bug reports of other projects, are added.  Counted a rule: wrong answers accepted and right
ones refused; and the CPU-seconds of each verifier over all its pairs.

    python benchmarks/verifier.py --data ../shared/data --golds 1500 > benchmarks/verifier.csv
"""

import argparse
import csv
import logging
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from machine import cpu_name

from tokenspectrum.prompts.files import read_rows
from tokenspectrum.prompts.formats import parse
from tokenspectrum.reward import boxed
from tokenspectrum.reward.gold import decode_gold

FILES = {
    "benchmarks/aime24.jsonl": "aime24",
    "benchmarks/math.jsonl": "math",
    "benchmarks/math500.jsonl": "math500",
    "benchmarks/minerva_math.jsonl": "minerva_math",
    "benchmarks/olympiadbench.jsonl": "olympiadbench",
    "train/math_train.json": "math_train",
    "train/aime_1983_2023.json": "aime_1983_2023",
    "train/dapo_math_train.parquet": "dapo_math",
}
_INTEGER = re.compile(r"-?[1-9]\d*")
_FRACTION = re.compile(r"(-?)\\frac\{(\d+)\}\{(\d+)\}")

Rule = Callable[[str], str | None]


def _where(pattern: re.Pattern[str], change: Callable[[str], str]) -> Rule:
    """`change` for answers that are `pattern` as a whole, None for the others."""
    return lambda s: change(s) if pattern.fullmatch(s) else None


def _bump(s: str) -> str | None:
    """Another last digit: another value wherever the answer is one number, fraction, tuple or formula."""
    last = re.search(r"\d(?=\D*$)", s)
    return None if last is None else s[: last.start()] + str((int(last.group()) + 1) % 10) + s[last.end() :]


RESPELLINGS: dict[str, Rule] = {
    "as published": lambda s: s,
    "in dollar signs": lambda s: f"${s}$",
    "full stop behind": lambda s: None if s.endswith(".") else f"{s}.",
    "dfrac": lambda s: s.replace(r"\frac", r"\dfrac"),
    "without blanks": lambda s: re.sub(r"(?<=[^A-Za-z\d,]) | (?=[^A-Za-z\d\\])", "", s),
    "blanks around commas": lambda s: s.replace(",", " , ") if s.startswith(("(", "[")) else None,
    "left and right": lambda s: rf"\left{s[:-1]}\right)" if re.fullmatch(r"\([^()]*\)", s) else None,
    "x =": _where(re.compile(r"-?\d+|-?\\frac\{\d+\}\{\d+\}"), lambda s: f"x = {s}"),
    "a unit behind": _where(re.compile(r"-?\d+(?:\.\d+)?"), lambda s: rf"{s}\text{{ units}}"),
    "currency before": _where(re.compile(r"\d+"), lambda s: rf"\${s}"),
    "degrees": _where(re.compile(r"\d+"), lambda s: rf"{s}^\circ"),
    "thousands with commas": _where(re.compile(r"-?[1-9]\d{3,}"), lambda s: f"{int(s):,}"),
    "thousands with braces": _where(re.compile(r"-?[1-9]\d{3,}"), lambda s: f"{int(s):,}".replace(",", "{,}")),
    "slash": _where(_FRACTION, lambda s: _FRACTION.sub(r"\1\2/\3", s)),
    "minus above": _where(re.compile(r"-\\frac\{\d+\}\{\d+\}"), lambda s: _FRACTION.sub(r"\\frac{-\2}{\3}", s)),
    "minus below": _where(re.compile(r"-\\frac\{\d+\}\{\d+\}"), lambda s: _FRACTION.sub(r"\\frac{\2}{-\3}", s)),
    "in braces": lambda s: f"{{{s}}}",
    "roots without braces": lambda s: re.sub(r"\\sqrt\{(\d)\}", r"\\sqrt\1", s),
}
OTHERS: dict[str, Rule] = {
    "another digit": _bump,
    "another sign": _where(re.compile(r"[1-9]\d*|\\frac\{\d+\}\{\d+\}"), lambda s: f"-{s}"),
    "upside down": _where(
        re.compile(r"\\frac\{(\d+)\}\{(?!\1\})\d+\}"), lambda s: re.sub(r"\{(\d+)\}\{(\d+)\}", r"{\2}{\1}", s)
    ),
    "or another": lambda s: None if _bump(s) is None else rf"{s}\text{{ or }}{_bump(s)}",
    "or another, in the text": lambda s: None if _bump(s) is None else rf"{s}\text{{ or {_bump(s)}}}",
    "a list with another": _where(_INTEGER, lambda s: f"{s}, {_bump(s)}"),
    "or more": _where(_INTEGER, lambda s: rf"{s}\text{{ or more}}"),
    "dozen": _where(_INTEGER, lambda s: rf"{s}\text{{ dozen}}"),
    "times ten": _where(_INTEGER, lambda s: f"{s}0"),
    "a blank between digits": _where(re.compile(r"[1-9]\d+"), lambda s: f"{s[:1]} {s[1:]}"),
    "one of the tuple less": _where(re.compile(r"\([^(),]*,[^()]*\)"), lambda s: s.rpartition(",")[0] + ")"),
    "not": _where(_INTEGER, lambda s: rf"\neq {s}"),
}

# Rules that are right, or wrong, of one answer without a unit.
ONE_ANSWER = {"a unit behind", "currency before", "degrees", *OTHERS}


def golds(data: Path) -> dict[str, str]:
    """Every distinct gold of the published files, as a ground truth, with its data source."""
    found: dict[str, str] = {}
    for name, format_name in FILES.items():
        for row in read_rows(data / name):
            problem = parse(row, format_name, format_name)
            if problem is not None:
                found.setdefault(problem.answer, problem.data_source)
    return found


def pairs(chosen: list[tuple[str, str]]) -> Iterator[tuple[str, bool, str, str, str]]:
    """(rule, right?, ground truth, data source, boxed answer) of every rule that changes a gold, and of the cases."""
    for truth, source in chosen:
        published = ", ".join(decode_gold(truth).answers)
        single = truth == published  # not several answers, and no unit or tolerance apart
        for right, rules in ((True, RESPELLINGS), (False, OTHERS)):
            for rule, change in rules.items():
                answer = change(published) if single or rule not in ONE_ANSWER else None
                if answer is not None and (answer != published or rule == "as published"):
                    yield rule, right, truth, source, answer
    with (Path(__file__).parent / "verifier_cases.csv").open(newline="") as file:
        for case in csv.DictReader(file):
            yield f"cases, {case['right']}", case["right"] == "yes", case["gold"], "cases", case["answer"]


def strict(truth: str, source: str, answer: str) -> bool:
    """The verifier of training."""
    return boxed.verify(f"\\boxed{{{answer}}}", truth, source).correct


def math_verify(truth: str, source: str, answer: str) -> bool:
    """math-verify on the same boxes, with its own limits of time, on the main thread as it wants."""
    from math_verify import parse as read
    from math_verify import verify

    gold = ", ".join(decode_gold(truth).answers)
    return bool(verify(read(f"\\boxed{{{gold}}}"), read(f"\\boxed{{{answer}}}")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with benchmarks/ and train/, as published")
    parser.add_argument("--golds", type=int, default=1500, help="how many golds, drawn with seed 0")
    parser.add_argument("--show", action="store_true", help="print each mistake on standard error")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    every = sorted(golds(args.data).items())
    chosen = random.Random(0).sample(every, min(args.golds, len(every)))
    verifiers = {"strict": strict, "math-verify": math_verify}
    counts: dict[tuple[bool, str], list[int]] = {}
    seconds = dict.fromkeys(verifiers, 0.0)
    math_verify("1", "", "1")  # its imports are not its verdicts
    for rule, right, truth, source, answer in pairs(chosen):
        row = counts.setdefault((right, rule), [0, 0, 0])
        row[0] += 1
        for i, (name, verifier) in enumerate(verifiers.items(), start=1):
            started = time.process_time()
            verdict = verifier(truth, source, answer)
            seconds[name] += time.process_time() - started
            row[i] += verdict is not right
            if args.show and verdict is not right:
                print(f"{name}: {'refused' if right else 'accepted'}: {rule}: {truth} | {answer}", file=sys.stderr)
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["answers", "rule", "pairs", "strict_mistakes", "math_verify_mistakes", "device"])
    for (right, rule), row in sorted(counts.items(), key=lambda item: not item[0][0]):
        table.writerow(["right" if right else "wrong", rule, *row, ""])
    for right in (True, False):
        sums = [sum(row[i] for (r, _), row in counts.items() if r is right) for i in range(3)]
        table.writerow(["right" if right else "wrong", "all", *sums, ""])
    table.writerow(["both", "CPU-seconds", "", *(f"{s:.2f}" for s in seconds.values()), cpu_name()])


if __name__ == "__main__":
    main()

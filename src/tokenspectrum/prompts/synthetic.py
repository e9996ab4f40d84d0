"""Synthetic problems: arithmetic modulo 10 in short chains of steps, and worked solutions in several styles.

Three families share one way of writing steps: `chain` (each variable from the one before), `vars` (now and then from
an earlier one) and `word` (a chain in other words).  Difficulty is the number of steps k and the share of large
literals.  Answers are digits, so that blind guessing is right one time in ten.  Problem i of a stream depends on
(stream, seed, i) alone.
Knows neither models nor tokens.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from tokenspectrum.counter import stream_key, uniforms
from tokenspectrum.errors import UserError
from tokenspectrum.prompts.problem import Problem

T = TypeVar("T")

MODULUS = 10
GUESS_FLOOR = 1 / MODULUS
LETTERS = "abcdefghkm"
MAX_STEPS = len(LETTERS) - 1
NAMES = ("Ann", "Bob", "Eva", "Tom")
STYLES = ("careful", "nobox", "guess")
_DRAWS_PER_PROBLEM = 96


@dataclass(frozen=True)
class Step:
    """One line of a worked solution: `label` gets the `value` of `expression` modulo 10."""

    label: str
    expression: str
    value: int


@dataclass(frozen=True)
class Worked:
    """A problem with its steps; the answer is the last one's value."""

    text: str
    steps: tuple[Step, ...]
    family: str

    @property
    def answer(self) -> str:
        return str(self.steps[-1].value)


class Draws:
    """Uniforms of one problem, used in order; independent of every other problem's."""

    def __init__(self, stream: str, seed: int, index: int) -> None:
        key = np.array([stream_key(f"problem:{stream}", seed, 0, str(index), 0)], np.uint64)
        self._uniforms = iter(uniforms(key, np.arange(_DRAWS_PER_PROBLEM)).tolist())

    def uniform(self) -> float:
        """The next number in [0, 1)."""
        return next(self._uniforms)

    def pick(self, options: Sequence[T]) -> T:
        """One of `options`, all equally likely."""
        return options[int(self.uniform() * len(options))]


def _apply(operator: str, x: int, y: int) -> int:
    return {"+": x + y, "-": x - y, "*": x * y}[operator] % MODULUS


def _operation(draws: Draws, large: float) -> tuple[str, int]:
    """An operator and its literal, a large one with probability `large`.

    Uneven operators and mostly small literals are on purpose: each part of a step then tells something about its
    result, so that a small model learns the table bit by bit; with + and - alike and all literals, no part tells
    anything alone.  The factors 3 and 7 are units modulo 10: a result never forgets the value before it.
    """
    operator, is_large = draws.pick("+++-*"), draws.uniform() < large
    if operator == "*":
        return operator, 7 if is_large else 3
    return operator, draws.pick((5, 6, 7, 8, 9) if is_large else (1, 2, 3, 4))


def _work(draws: Draws, k: int, large: float, local: float) -> tuple[str, tuple[Step, ...]]:
    """Definitions of k + 1 variables as text, and their steps; each is of the one before it with probability `local`,
    else of any earlier one."""
    values = [int(draws.uniform() * MODULUS)]
    defined, steps = [f"{LETTERS[0]}={values[0]}"], []
    for i in range(1, k + 1):
        source = i - 1 if draws.uniform() < local else int(draws.uniform() * i)
        operator, literal = _operation(draws, large)
        values.append(_apply(operator, values[source], literal))
        defined.append(f"{LETTERS[i]}={LETTERS[source]}{operator}{literal}")
        steps.append(Step(LETTERS[i], f"{values[source]}{operator}{literal}", values[i]))
    return ", ".join(defined), tuple(steps)


@dataclass(frozen=True)
class Family:
    """How a kind of problem is put into words, and how often a variable comes from the one before it."""

    problem: str
    head: str
    end: str
    local: float


FAMILIES = {
    "chain": Family("Mod 10, let {work}. Find {last}.", "Step by step:", "The answer is", 1.0),
    "vars": Family("Mod 10, let {work}. Find {last}.", "Step by step:", "The answer is", 0.85),
    "word": Family("{name} turns a 0-9 dial: {work}. Where is {last}?", "Turn by turn:", "The dial shows", 1.0),
}


@dataclass(frozen=True)
class Spec:
    """Which problems a set holds: families, steps from k_min to k_max, and the share of large literals (above 4)."""

    families: tuple[str, ...]
    k_min: int
    k_max: int
    large: float


# The stand-in for each real benchmark, from easy to hard.
STAND_INS = {
    "math": Spec(("chain", "word"), 2, 3, large=0.0),
    "minerva_math": Spec(("word",), 4, 5, large=0.15),
    "olympiadbench": Spec(("chain", "vars"), 5, 6, large=0.3),
    "aime24": Spec(("chain", "vars"), 6, 7, large=0.5),
}


def draw_worked(draws: Draws, spec: Spec) -> Worked:
    """One problem of the spec."""
    name = draws.pick(spec.families)
    k = spec.k_min + int(draws.uniform() * (spec.k_max - spec.k_min + 1))
    who = draws.pick(NAMES)
    work, steps = _work(draws, k, spec.large, FAMILIES[name].local)
    return Worked(FAMILIES[name].problem.format(work=work, last=LETTERS[k], name=who), steps, name)


def render(worked: Worked, style: str) -> str:
    """The solution as text.  careful: every step, answer boxed; nobox: every step, unboxed; guess: the boxed answer."""
    if style not in STYLES:
        raise ValueError(f"style {style!r} is none of {STYLES}")
    family = FAMILIES[worked.family]
    answer = worked.answer if style == "nobox" else f"\\boxed{{{worked.answer}}}"
    end = f"{family.end} {answer}."
    if style == "guess":
        return end
    return " ".join([family.head, *(f"{s.label}={s.expression}={s.value}." for s in worked.steps), end])


def make_problems(data_source: str, spec: Spec, n: int, seed: int) -> list[Problem]:
    """`n` distinct problems of `spec`; a UserError when it holds too few of them, or asks for more than MAX_STEPS."""
    if spec.k_max > MAX_STEPS:
        raise UserError(f"{data_source}: k_max is {spec.k_max}, but synthetic problems have at most {MAX_STEPS} steps")
    problems: dict[str, Problem] = {}
    for index in range(20 * n):
        worked = draw_worked(Draws(data_source, seed, index), spec)
        extra = {"family": worked.family, "steps": len(worked.steps)}
        problems.setdefault(worked.text, Problem(data_source, worked.text, worked.answer, extra))
        if len(problems) == n:
            return list(problems.values())
    raise UserError(f"{data_source}: fewer than {n} distinct synthetic problems; ask for fewer, or for more steps")


def make_benchmark(name: str, n: int, seed: int) -> list[Problem]:
    """`n` problems of the stand-in for benchmark `name` (a key of STAND_INS); data_source is synthetic_<name>."""
    if name not in STAND_INS:
        raise UserError(f"benchmark {name!r}: no synthetic stand-in; there are {', '.join(STAND_INS)}")
    return make_problems(f"synthetic_{name}", STAND_INS[name], n, seed)


def make_train(n: int, seed: int, k_min: int, k_max: int) -> list[Problem]:
    """`n` training problems of all families with k_min to k_max steps; they may meet benchmark problems, so
    decontaminate."""
    return make_problems("synthetic_train", Spec(tuple(FAMILIES), k_min, k_max, large=0.25), n, seed)


@dataclass(frozen=True)
class Mix:
    """What a corpus of solutions is made of.

    k is 1 + floor(Exp(k_mean)) up to k_max: short problems are the more frequent, as in a natural corpus.  A k-step
    problem is guessed with probability guess + (k - 1) guess_per_step: the longer, the more often its writer gives up.
    Of the solutions with steps, a share `unboxed` forgets the box.  A share `large` of the literals is above 4: rare
    facts of arithmetic that the policy knows less well.
    """

    k_max: int
    k_mean: float
    guess: float
    guess_per_step: float
    unboxed: float
    large: float


def corpus(seed: int, mix: Mix, held_out: Collection[str], stream: str = "corpus") -> Iterator[tuple[str, str]]:
    """Endless (problem text, solution) pairs for the base policy, none of a text in `held_out`."""
    index = 0
    while True:
        draws = Draws(stream, seed, index)
        index += 1
        k = min(mix.k_max, 1 + int(-mix.k_mean * math.log1p(-draws.uniform())))
        guess = min(1.0, mix.guess + (k - 1) * mix.guess_per_step)
        style = "guess" if draws.uniform() < guess else "nobox" if draws.uniform() < mix.unboxed else "careful"
        worked = draw_worked(draws, Spec(tuple(FAMILIES), k, k, mix.large))
        if worked.text not in held_out:
            yield worked.text, render(worked, style)

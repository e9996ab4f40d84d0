"""Choice by level and hash, and decontamination against brute force."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenspectrum.errors import UserError
from tokenspectrum.params.prompts import Dataset, StandInSource
from tokenspectrum.prompts.choose import by_hash, of_levels
from tokenspectrum.prompts.decontaminate import clean, normalised_text
from tokenspectrum.prompts.problem import Problem

SOURCE = StandInSource(kind="stand_in", benchmark="math", n=1, seed=0)


def dataset(**choice):
    return Dataset(name="d", source=SOURCE, **choice)


def problems(texts):
    return [Problem("s", text, "1") for text in texts]


MANY = problems([f"problem {i}" for i in range(200)])


@given(st.integers(1, 250), st.permutations(range(200)))
def test_a_choice_does_not_depend_on_order_and_keeps_it(limit, order):
    chosen = by_hash([MANY[i] for i in order], dataset(limit=limit))
    assert len(chosen) == min(limit, 200)
    assert {p.prompt_id for p in chosen} == {p.prompt_id for p in by_hash(MANY, dataset(limit=limit))}
    assert chosen == [MANY[i] for i in order if MANY[i] in chosen]


def test_a_smaller_choice_is_part_of_a_larger_one():
    sixteen, forty = (by_hash(MANY, dataset(limit=n)) for n in (16, 40))
    assert all(p in forty for p in sixteen)
    assert sixteen != MANY[:16]


def test_another_seed_is_another_choice():
    assert by_hash(MANY, dataset(limit=20)) != by_hash(MANY, dataset(limit=20, subset_seed=1))


@pytest.mark.parametrize(("fraction", "n"), [(0.4, 80), (1.0, 200), (0.001, 1), (0.0124, 2)])
def test_fraction(fraction, n):
    assert len(by_hash(MANY, dataset(fraction=fraction))) == n


def test_no_choice_keeps_all():
    assert by_hash(MANY, dataset()) == MANY


def test_levels():
    levelled = [Problem("s", str(i), "1", {"level": i % 3}) for i in range(9)]
    assert [p.extra["level"] for p in of_levels(levelled, (0, 2), "d")] == [0, 2, 0, 2, 0, 2]
    assert of_levels(levelled, None, "d") == levelled
    with pytest.raises(UserError, match=r"dataset d: no problem of levels \[7\]; it has levels \[0, 1, 2\]"):
        of_levels(levelled, (7,), "d")
    with pytest.raises(UserError, match=r"dataset d: problem [0-9a-f]{16} has no level"):
        of_levels(MANY, (1,), "d")


SAME = [
    ("What is $x+1$?", "what is  x + 1 ?"),
    ("Find \\(x\\), \\left(y\\right)", "Find $x$, (y)"),
    ("\\dfrac{1}{2} \\quad \\displaystyle z", "\\frac{1}{2}z"),
    ("x\n\\[y\\]", "x y"),
    ("1,\\!000", "1,000"),
    ("ﬁnd ２", "find 2"),
]


@pytest.mark.parametrize(("a", "b"), SAME)
def test_typesetting_does_not_count(a, b):
    assert normalised_text(a) == normalised_text(b)


@pytest.mark.parametrize(
    ("a", "b"), [("x+1", "x-1"), ("2", "3"), ("\\leftarrow", "arrow"), ("a.b", "ab"), ("\\\\(x", "\\\\x")]
)
def test_everything_else_does(a, b):
    assert normalised_text(a) != normalised_text(b)


letters = st.lists(st.text(alphabet="aA $b", min_size=1, max_size=3), max_size=12, unique=True)


@given(letters, letters, letters)
def test_clean_against_brute_force(training, first, second):
    benchmarks = {"one": problems(first), "two": problems(second)}
    result = clean(problems(training), benchmarks)

    def bare(text):
        return text.replace(" ", "").replace("$", "").lower()

    in_one = [t for t in training if bare(t) in map(bare, first)]
    in_two = [t for t in training if bare(t) in map(bare, second)]
    left = [t for t in training if t not in in_one and t not in in_two]
    firsts = [t for i, t in enumerate(left) if bare(t) not in map(bare, left[:i])]
    assert [p.text for p in result.problems] == firsts
    assert result.by_benchmark == {"one": len(in_one), "two": len(in_two)}
    assert result.contaminated == len({*in_one, *in_two})
    assert result.duplicates == len(left) - len(firsts)


def test_seen_carries_over_to_the_next_source():
    seen = {}
    assert clean(problems(["a"]), {}, seen).duplicates == 0
    assert clean(problems(["A "]), {}, seen).duplicates == 1

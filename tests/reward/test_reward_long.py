"""However long an answer is, judging it takes linear time: a policy that runs on stops nothing."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenspectrum.reward.boxed import verify
from tokenspectrum.reward.gold import Gold, encode_gold
from tokenspectrum.reward.normalise import MAX_CHARACTERS

MEGABYTE = 10**6
LONG = [
    "\\boxed{" + "\\" * MEGABYTE + "}",
    "\\boxed{5\\text{" + " " * MEGABYTE + "}}",
    "\\boxed{5\\text{" + "k" * MEGABYTE + "}}",
    "\\boxed{5" + " \\text{m}" * (MEGABYTE // 9) + "}",
    "\\" * MEGABYTE,
    "\\boxed" + "\\" * MEGABYTE,
    ("\\boxed" + " " * 100) * (MEGABYTE // 106),
    "\\boxed{" * (MEGABYTE // 7),
    "\\boxed{" + "9" * MEGABYTE + "}",
    "\\boxed{" + "1," * (MEGABYTE // 2) + "}",
    "\\boxed{" + " " * MEGABYTE + "7}",
    "\\boxed{" + "\\text{" * (MEGABYTE // 7) + "}" * (MEGABYTE // 7) + "}",
    "\\boxed{" + "{" * (MEGABYTE // 2) + "}" * (MEGABYTE // 2) + "}",
]


@pytest.mark.parametrize("text", LONG, ids=range(len(LONG)))
@pytest.mark.parametrize("gold", ["7", Gold(("5",), "km"), Gold(("1", "2"), tolerance=0.1)], ids=["one", "unit", "two"])
def test_a_megabyte_of_anything_is_judged_in_linear_time(text, gold):
    ground_truth = encode_gold(gold) if isinstance(gold, Gold) else gold
    started = time.process_time()
    verify(text, ground_truth, "math")
    # Half a second on the machine that this was written on; a quadratic reader takes over 30.
    assert time.process_time() - started < 3


BLOCKS = ["\\", "{", "}", "\\text{", "\\frac", "^", "_", " ", "1", "1,", "a", "/", "$", "(", ")"]
BLOCKS += ["\\,", "or ", "^\\circ", "x=", ".", "\\frac12\\pi", "²", "√", "\\color{"]


@given(st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=4).map("".join), st.sampled_from(["7", "x", ""]))
def test_the_longest_answer_that_is_read_is_cheap(block, end):
    box = (block * MAX_CHARACTERS)[: MAX_CHARACTERS - 5] + end
    started = time.process_time()
    verify(f"\\boxed{{{box}}}", encode_gold(Gold(("5", "6"), "km")), "math")
    assert time.process_time() - started < 2

"""The strict verifier: which box counts, and what several answers, units and tolerances mean."""

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenspectrum.reward.boxed import INTEGER_SOURCES, last_boxed, matches, verify
from tokenspectrum.reward.gold import Gold, decode_gold, encode_gold


def balanced_prefix(text: str) -> str | None:
    """Brute force: the content between an opening brace already read and the brace that closes it."""
    depth, i = 1, 0
    while i < len(text):
        if text[i] == "\\":
            i += 2
            continue
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return text[:i]
        i += 1
    return None


PIECES = ["\\boxed{", "\\boxed {", "{", "}", "\\{", "\\}", "7", "x", "\\frac{1}{2}", " "]


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_last_boxed_is_the_one_that_closes_last(text):
    starts = [text.index("{", i) + 1 for i in range(len(text)) if text.startswith(("\\boxed{", "\\boxed {"), i)]
    closed = {i: content for i in starts if (content := balanced_prefix(text[i:])) is not None}
    wanted = closed[max(closed, key=lambda i: i + len(closed[i]))] if closed else None
    while wanted is not None and (inner := re.fullmatch(r"\s*\\boxed ?\{(.*)\}\s*", wanted)):
        if balanced_prefix(inner[1] + "}") != inner[1]:
            break
        wanted = inner[1]
    assert last_boxed(text) == (None if wanted is None else re.sub(r"\\boxed ?\{", "{", wanted))


@pytest.mark.parametrize(
    "box", [r"8\text{ or }\boxed{7}", r"\boxed{7}, 8", r"\boxed{7}\boxed{8}", r"\boxed{8}\boxed{7}"]
)
def test_a_box_within_a_box_hides_nothing(box):
    assert not verify(rf"\boxed{{{box}}}", "7", "math").correct
    assert not verify(rf"\boxed{{{box}}}", "87", "math").correct


@given(st.text(alphabet="ab12 +-\\frac{}", max_size=30))
def test_any_balanced_content_comes_back_whole(content):
    if balanced_prefix(content + "}") == content:
        assert last_boxed(f"\\boxed{{1}} so \\boxed{{{content}}}, done") == content


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("no box: 5", None),
        ("boxed{5}", None),
        (r"\fbox{5} \framebox{5}", None),
        (r"\boxed 5", None),
        (r"\boxed{5", None),
        (r"\boxed{}", ""),
        (r"\boxed{1} then \boxed{2}", "2"),
        (r"\boxed{1} then \boxed{2 cut off", "1"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{[0,1\}}", r"[0,1\}"),
        ("\\\\boxed{4}", "4"),
    ],
)
def test_which_box_counts(text, answer):
    assert last_boxed(text) == answer


def test_many_open_boxes_take_one_pass():
    started = time.perf_counter()
    assert last_boxed("\\boxed{" * 100_000 + "1}") == "1"
    assert last_boxed("\\boxed{" * 100_000 + "1" + "}" * 100_000) == "1"
    assert last_boxed(("\\boxed{" + " " * 9) * 50_000 + "1" + ("x" + "}") * 50_000).count("x") == 50_000
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("text", "correct", "reward"),
    [
        ("the answer is 5", False, -2.0),
        (r"\boxed{6}", False, -1.0),
        (r"\boxed{}", False, -1.0),
        (r"\boxed{5}", True, 1.0),
    ],
)
def test_reward_of_each_case(text, correct, reward):
    verdict = verify(text, "5", "math")
    assert (verdict.correct, verdict.reward_raw) == (correct, reward)


def test_only_the_last_box_counts():
    assert verify(r"\boxed{5} or \boxed{6}", "6", "math").correct
    assert not verify(r"\boxed{5} or \boxed{6}", "5", "math").correct


@pytest.mark.parametrize("source", sorted(INTEGER_SOURCES))
def test_leading_zeros_fall_on_integer_sources(source):
    assert verify(r"\boxed{25}", "025", source).correct
    assert verify(r"\boxed{025}", "25", source).correct
    assert not verify(r"\boxed{250}", "25", source).correct


def test_leading_zeros_count_elsewhere():
    assert not verify(r"\boxed{25}", "025", "math").correct
    assert not verify(r"\boxed{025}", "25", "olympiadbench").correct
    assert verify(r"\boxed{25}", "025", "my_integers", {"my_integers"}).correct


def test_several_answers_in_any_order():
    gold = encode_gold(Gold(("1", "(2,3)", r"\frac{1}{2}")))
    for order in itertools.permutations(["1", "(2, 3)", r"\frac12"]):
        assert verify(rf"\boxed{{{', '.join(order)}}}", gold, "olympiadbench").correct
    assert verify(r"\boxed{\{1, (2,3), 1/2\}}", gold, "olympiadbench").correct
    assert verify(r"\boxed{1, (2,3) \text{ and } \frac12}", gold, "olympiadbench").correct
    assert verify(r"\boxed{x=1; x=(2,3); x=\frac12}", gold, "olympiadbench").correct


@pytest.mark.parametrize("answer", ["1", "1,(2,3)", r"1,(2,3),\frac12,4", r"1,1,\frac12", r"1,(3,2),\frac12", "", ",,"])
def test_several_answers_must_be_all_and_no_others(answer):
    assert not matches(answer, Gold(("1", "(2,3)", r"\frac{1}{2}")), False)


def test_repeated_answers_are_counted():
    assert matches("-2, -2", Gold(("-2", "-2")), False)
    assert not matches("-2", Gold(("-2", "-2")), False)
    assert not matches("-2, 3", Gold(("-2", "-2")), False)


def test_a_single_answer_keeps_its_order():
    assert not verify(r"\boxed{2,1}", "1,2", "math").correct


@pytest.mark.parametrize(
    "answer", ["45", "45 minutes", "45 minute", r"45\text{ minutes}", r"45 \mathrm{~minutes}", "$45$ minutes."]
)
def test_a_unit_may_follow_or_not(answer):
    assert matches(answer, Gold(("45",), unit="minute"), False)
    assert not matches(answer.replace("45", "46"), Gold(("45",), unit="minute"), False)


def test_a_unit_matters_only_where_it_is_named():
    assert matches("3 widgets", Gold(("3",), unit="widget"), False)
    assert not matches("3 widgets", Gold(("3",)), False)


@pytest.mark.parametrize(
    ("answer", "right"), [("4.2", True), ("4.3", True), ("4.1", True), ("4.31", False), ("4.09", False), ("x", False)]
)
def test_tolerance_is_absolute_and_inclusive(answer, right):
    assert matches(answer, Gold(("4.2",), unit="%", tolerance=0.1), False) is right
    assert matches(answer, Gold(("4.2",)), False) is (answer == "4.2")


answers = st.lists(st.text(max_size=8), min_size=1, max_size=4).map(tuple)
units, tolerances = st.none() | st.text(min_size=1, max_size=5), st.none() | st.floats(0, 10)


@given(answers, units, tolerances)
def test_gold_encoding_round_trips(answers, unit, tolerance):
    gold = Gold(answers, unit, tolerance)
    if not answers[0].startswith('{"answers":'):
        assert decode_gold(encode_gold(gold)) == gold


def test_one_plain_answer_is_encoded_as_itself():
    assert encode_gold(Gold((r"\frac{1}{2}",))) == r"\frac{1}{2}"
    assert encode_gold(Gold(("1", "2"))) == '{"answers":["1","2"]}'

r"""A policy that hedges earns nothing: no answer with another value beside it counts, and a respelling does.

Hypothesis walks the neighbourhood: any value, any other value, any way to put one beside the other.
"""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tokenspectrum.reward.answer import normalise
from tokenspectrum.reward.boxed import verify
from tokenspectrum.reward.gold import Gold, encode_gold


def accepts(box, gold):
    ground_truth = encode_gold(gold) if isinstance(gold, Gold) else gold
    return verify(f"Hence \\boxed{{{box}}}.", ground_truth, "math").correct


RIGHT = [
    (r"G\text{K}", r"G\text{K}"),
    (r"5\text{K}", "5"),
    (r"x\text{ m}", "x"),
    (r"2\pi\text{m}", r"2\pi"),
    (r"x=2\text{ or }x=3", "2,3"),
    (r"x=2\text{ or }x=3", Gold(("2", "3"))),
    (r"x = 2 \text{ and } 3", "2, 3"),
    (r"x=2\text{, }x=3", "2,3"),
    (r"x=2 \lor x=3", "2,3"),
    ("x_1=2, x_2=3", "2,3"),
    ("(x,y)=(1,2)", "(1,2)"),
    (r"(a, b, c) = (1, 2, 3)", "(1,2,3)"),
    (r"\frac{\pi}{2}", r"\pi/2"),
    (r"5\pi/6", r"\frac{5\pi}{6}"),
    (r"\sqrt3/2", r"\frac{\sqrt{3}}{2}"),
    ("(x+1)/(2a)", r"\frac{x+1}{2a}"),
    (r"\frac{1}{-2}", r"-\frac12"),
    (r"\frac{-1}{-2}", "1/2"),
    ("1,000, 5", Gold(("1000", "5"))),
    (r"\{5, 1000\}", Gold(("1000", "5"))),
    (r"x \in \{1, 2\}", Gold(("1", "2"))),
    ("32, 349", "32, 349"),
    ("(32,349)", "(32, 349)"),
    (r"\{1, 234\}", r"\{1,234\}"),
    ("2 1/3", r"2\frac{1}{3}"),
    (r"(1{,}234, 5)", "(1234,5)"),
    (r"\frac{1{,}234}{5}", r"\frac{1234}{5}"),
    (r"\theta=7", "7"),
    (r"\displaystyle\frac{1}{2}", "1/2"),
    (r"15,\!600", "15600"),
    (r"15{,}600", "15,600"),
    (r"\$15,600", "15600"),
    (r"5\text{ min}", r"5\text{ minutes}"),
    ("5", r"5\text{ minutes}"),
    ("5 minutes", "5"),
    (r"5\text{ km}", Gold(("5",), "km")),
    ("5 kilometers", Gold(("5",), "km")),
    (r"60\text{ km}/\text{h}", Gold(("60",), "km/h")),
    (r"60 \text{ kilometers per hour}", Gold(("60",), "km/h")),
    (r"166\text{ square cm}", Gold(("166",), "$cm^2$")),
    ("4.2%", Gold(("4.2",), "%")),
    (r"45^\circ", Gold(("45",), r"^{\circ}")),
    ("16", r"16\text{ daps}"),
    ("16 daps", r"16\text{ daps}"),
    (r"9\text{ a.m.}", r"9\text{ a.m.}"),
    ("AB=9, CD=4", "AB=9,CD=4"),
    ("f(n)=n, g(n)=1", "f(n)=n, g(n)=1"),
    (r"\begin{pmatrix} 1/2 \\ -1/3 \end{pmatrix}", r"\begin{pmatrix} \frac12 \\ -\frac{1}{3} \end{pmatrix}"),
]


@pytest.mark.parametrize(("box", "gold"), RIGHT)
def test_a_spelling_is_not_a_value(box, gold):
    assert accepts(box, gold)


WRONG = [
    (r"G\text{K}", "G"),
    (r"5G\mathrm{K}", "5G"),
    (r"k\text{m}", "k"),
    (r"7\text{ or 8}", "7"),
    (r"3\text{ or more}", "3"),
    (r"3\text{ at least}", "3"),
    (r"7\text{ and up}", "7"),
    (r"7\text{ (or 8)}", "7"),
    (r"7\text{ cm or 8 cm}", "7"),
    (r"5\text{ dozen}", "5"),
    (r"5\text{ thousand}", "5"),
    ("17", r"17\text{ million}"),
    (r"7\text{ m}^8", "7"),
    (r"7\text{ hours } 30\text{ minutes}", "7"),
    (r"5\text{ hours}", r"5\text{ minutes}"),
    ("5 hours", r"5\text{ minutes}"),
    (r"5\text{ m}", Gold(("5",), "km")),
    (r"5\%", Gold(("5",), "km")),
    (r"5\text{ cm}", r"5\text{ cm}^2"),
    (r"60\text{ m/s}", Gold(("60",), "km/h")),
    (r"5\text{ cents}", r"\$5"),
    (r"45\text{ radians}", r"45^\circ"),
    (r"16\text{ cats}", r"16\text{ daps}"),
    (r"5\text{ things}", "5"),
    ("2 1/3", "21/3"),
    ("1 1/2", "11/2"),
    ("32349", "32, 349"),
    ("32,349", "32, 349"),
    (r"\{1,234\}", r"\{1234\}"),
    ("(1,234)", "1234"),
    ("1,234", Gold(("1", "234"))),
    ("7 8", "78"),
    (r"7\ 8", "78"),
    ("7~8", "78"),
    (r"7\quad8", "78"),
    ("7\u20038", "78"),
    ("$7$$8$", "78"),
    (r"\(7\)\(8\)", "78"),
    (r"7\text{}8", "78"),
    (r"7\text{8}", "78"),
    (r"7\%8", "78"),
    (r"7^\circ8", "78"),
    (r"7\big8", "78"),
    (r"7\left.8\right.", "78"),
    (r"7\displaystyle8", "78"),
    (r"(1{,}234)", "(1, 234)"),
    ("0{,}123", "0123"),
    (r"\not=7", "7"),
    (r"\neq=7", "7"),
    (r"\not x=7", "7"),
    (r"\not\in7", "7"),
    (r"7\$8", "78"),
    ("7 .5", "7.5"),
    ("7. 5", "7.5"),
    (r"12\,34", "1234"),
    ("1{,}2", "12"),
    ("7...", "7"),
    (r"7\dots", "7"),
    ("0.333...", "0.333"),
    (r"3\frac{-1}{2}", r"3-\frac{1}{2}"),
    (r"7\text{ or }", "7"),
    ("x_2=2, x_1=3", "2,3"),
    ("x_1=2, y_2=3", "2,3"),
    ("y=3", "x=3"),
    ("y=2, x=3", "x=2, y=3"),
    ("x=2, y=3", "2,3"),
    ("(y,x)=(1,2)", "(1,2)"),
    (r"x\neq7", "7"),
    ("x>7", "7"),
    (r"x\leq7", "7"),
]


def test_a_decimal_comma_is_no_mark_of_thousands():
    assert verify(r"\boxed{0123}", "123", "aime24").correct
    assert not verify(r"\boxed{0,123}", "123", "aime24").correct


@pytest.mark.parametrize(("box", "gold"), WRONG)
def test_another_value_is_another_value(box, gold):
    assert not accepts(box, gold)


integers = st.integers(-(10**4), 10**4).map(str)
fractions = st.tuples(st.integers(-99, 99), st.integers(2, 99)).map(lambda f: rf"\frac{{{f[0]}}}{{{f[1]}}}")
radicals = st.tuples(st.integers(2, 99), st.sampled_from([2, 3, 5])).map(lambda f: rf"{f[0]}\sqrt{{{f[1]}}}")
decimals = st.tuples(st.integers(0, 99), st.integers(1, 9)).map(lambda f: f"{f[0]}.{f[1]}")
multiples = st.integers(2, 9).map(lambda n: rf"\frac{{{n}\pi}}{{7}}")
values = st.one_of(integers, fractions, radicals, decimals, multiples)

UNIT_POWERS = ("-2", "-1", "1", "2", "3")

BESIDE = [
    "A or B",
    "A, B",
    "A; B",
    "A and B",
    "A B",
    "A/B",
    "A = B",
    "A (B)",
    "A (or B)",
    "(A)(B)",
    "$A$ $B$",
    "$A$$B$",
    r"\(A\)\(B\)",
    r"A \\ B",
    r"A\ B",
    r"A\quad B",
    r"A~B",
    r"A\text{ or }B",
    r"A\text{ or B}",
    r"\text{A or B}",
    r"A\text{ and B}",
    r"A\text{, maybe }B",
    r"A\text{ cm or }B\text{ cm}",
    r"A\text{ cm or B cm}",
    r"A\text{ units }B\text{ units}",
    r"A\text{ hours }B\text{ minutes}",
    r"A\mathrm{\ or\ }B",
    r"A \approx B",
    r"A \to B",
    r"A \pm B",
    r"A^{B}",
    r"A_{B}",
    r"A^\circ B",
    r"A\% B",
    r"\{A, B\}",
    r"[A, B]",
    r"A \cup B",
    r"A\text{ m}^{B}",
    r"x=A=B",
    r"x=A\text{ or }x=B",
    r"x=A, y=B",
    r"\overset{B}{A}",
    r"A\phantom{B}",
    r"A\tag{B}",
    r"A\text{ or more than B}",
    r"A \text{ if } n=B",
    r"A\dots B",
    r"\boxed{A} \boxed{B}",
    "A\nB",
    "A\u00a0B",
    "A\u2009B",
    "A|B",
    "A:B",
    "A!B",
    r"A\%,B\%",
    r"\$A, \$B",
]


@given(values, values, st.sampled_from(BESIDE), st.booleans())
def test_a_value_with_another_beside_it_is_refused(gold, other, how, swapped):
    assume(normalise(gold) != normalise(other))
    first, second = (other, gold) if swapped else (gold, other)
    box = re.sub("[AB]", lambda m: first if m.group() == "A" else second, how)
    # In \boxed{A} \boxed{B} the last box is the answer, whole.
    assume(not how.startswith(r"\boxed") or swapped is False)
    # m^{-2} to m^{3} are units, and no second value.
    assume(how != r"A\text{ m}^{B}" or second not in UNIT_POWERS)
    assert not accepts(box, gold)


@pytest.mark.parametrize("power", UNIT_POWERS)
def test_the_power_of_a_unit_is_no_second_value(power):
    assert accepts(rf"5\text{{ m}}^{{{power}}}", "5")


@given(st.integers(1, 9999), st.integers(0, 9999), st.sampled_from([h for h in BESIDE if "B" in h]))
def test_two_numbers_never_run_together(a, b, how):
    box = how.replace("A", str(a)).replace("B", str(b))
    assert not accepts(box, f"{a}{b}")


HEDGES = [
    "or more",
    "or less",
    "at least",
    "maybe",
    "if even",
    "approximately",
    "not",
    "mod 8",
    "dozen",
    "or so",
    "hundred",
]


@given(
    values, st.sampled_from(HEDGES), st.sampled_from([r"A\text{ H}", r"\text{H }A", "A H", r"A\ \mathrm{H}", "A (H)"])
)
def test_a_statement_is_no_unit(gold, hedge, how):
    assert not accepts(how.replace("A", gold).replace("H", hedge), gold)


UNITS = [
    "m",
    "km",
    "cm",
    "hours",
    "minutes",
    "seconds",
    "degrees",
    "kg",
    "m/s",
    "km/h",
    "square feet",
    "cm^3",
    "dollars",
]


@given(values, st.sampled_from(UNITS), st.sampled_from(UNITS))
def test_a_unit_is_the_gold_s_or_none(value, unit, other):
    for gold in (Gold((value,), unit), f"{value}\\text{{ {unit}}}"):
        assert accepts(value, gold)
        assert accepts(f"{value}\\text{{ {other}}}", gold) is (unit == other)


@given(st.lists(integers, min_size=2, max_size=4, unique=True), integers)
def test_several_answers_and_no_other(golds, other):
    gold = Gold(tuple(golds))
    assert accepts(", ".join(golds), gold)
    assert accepts(f"\\{{{', '.join(golds[::-1])}\\}}", gold)
    assert not accepts(", ".join([*golds, other]), gold)
    assert not accepts(", ".join(golds[1:]), gold)
    assert not accepts(", ".join([golds[0]] * len(golds)), gold)


def _thousands(mark):
    return lambda s: f"{int(s):,}".replace(",", mark) if re.fullmatch(r"-?\d+", s) else s


EDITS = [
    lambda s: f"${s}$",
    lambda s: f"\\({s}\\)",
    lambda s: f" {s} ",
    lambda s: f"{s}.",
    lambda s: f"{{{s}}}",
    lambda s: f"x = {s}",
    lambda s: f"f(x)={s}",
    lambda s: f"\\; {s} \\,",
    lambda s: f"{s}\\text{{ units}}",
    lambda s: f"{s} \\mathrm{{~cm}}^{{2}}",
    lambda s: f"{s}^\\circ",
    lambda s: f"\\${s}",
    lambda s: f"\\mathbf{{{s}}}" if "{" not in s else s,
    lambda s: f"+{s}" if s[0].isdigit() else s,
    lambda s: s.replace("-", "−"),
    lambda s: s.replace(r"\frac", r"\dfrac"),
    lambda s: s.replace(r"\frac", r"\tfrac "),
    lambda s: re.sub(r"\\frac\{(\d)\}\{(\d)\}", r"\\frac\1\2", s),
    lambda s: re.sub(r"\\frac\{(-?)([^{}]*)\}\{([^{}]*)\}", r"\1\2/\3", s),
    lambda s: re.sub(r"\\frac\{-(\d+)\}\{(\d+)\}", r"-\\frac{\1}{\2}", s),
    lambda s: re.sub(r"\\frac\{-(\d+)\}\{(\d+)\}", r"\\frac{\1}{-\2}", s),
    lambda s: re.sub(r"\\sqrt\{(\d)\}", r"\\sqrt\1", s),
    lambda s: s.replace("{", "{ ").replace("}", " }"),
    lambda s: s.replace(r"\pi", "π"),
    lambda s: f"{s}0" if re.fullmatch(r"\d+\.\d", s) else s,
    lambda s: s.removeprefix("0") if s.startswith("0.") else s,
    _thousands(","),
    _thousands("{,}"),
    _thousands(",\\!"),
    _thousands("\\,"),
]


@given(values, st.sampled_from(EDITS))
def test_a_respelling_is_accepted(gold, edit):
    assert accepts(edit(gold), gold)
    assert accepts(gold, edit(gold))


LIST_EDITS = [
    lambda parts: ", ".join(parts),
    lambda parts: "; ".join(parts),
    lambda parts: " , ".join(parts),
    lambda parts: r",\ ".join(parts),
    lambda parts: r"\text{ or }".join(parts),
    lambda parts: " and ".join(parts),
    lambda parts: ", ".join(parts[:-1]) + r", \text{ and } " + parts[-1],
    lambda parts: r"\text{ or }".join(f"x={part}" for part in parts),
    lambda parts: ", ".join(f"${part}$" for part in parts),
    lambda parts: "x = " + ", ".join(parts),
    lambda parts: ", ".join(f"{part}^\\circ" for part in parts),
]


@given(st.lists(values, min_size=2, max_size=4), st.sampled_from(LIST_EDITS))
def test_a_list_is_accepted_however_it_is_joined(parts, edit):
    gold = ", ".join(parts)
    assert accepts(edit(parts), gold)
    assert accepts(edit(parts), Gold(tuple(parts)))
    assert accepts(f"({gold})", f"\\left( {gold} \\right)")

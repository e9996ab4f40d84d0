"""Normalisation: each step does what its first line says, and together they merge spellings and nothing else."""

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenspectrum.reward import normalise as n
from tokenspectrum.reward.answer import normalise, read, split_answers

STEP_CASES = [
    (n.one_glyph, "x²⁺ⁿ + ½√2·₁", r"x^{2+n} + \frac{1}{2}\sqrt{2}\cdot _{1}"),
    (n.drop_looks, r"\large7 {\bf 8} \textcolor{red}{9} \colon", r" 7 {  8}  {9} \colon"),
    (n.factors_into_fraction, r"-\frac{3}{4}\pi", r"-\frac{3\pi}{4}"),
    (n.factors_into_fraction, r"2\frac{1}{2}x, \frac{1}{2}3", r"2\frac{1}{2}x, \frac{1}{2}3"),
    (n.drop_math_delimiters, r"\$5 and $x$ \\(1) \(y\)", r"\$5 and  x  \\(1)  y "),
    (n.drop_math_delimiters, "$7$$8$", " 7  8 "),
    (n.join_marked_thousands, r"1,\!000 10{,}000 1,\! 234 2\,000", "1000 10000 1234 2000"),
    (n.join_marked_thousands, r"1{,}2 12\,34 1{,}2345", r"1{,}2 12\,34 1{,}2345"),
    (n.drop_spacing_macros, r"x\!y\,a\;b~c {,} \\ 2\quad", r"xy a b c , \\ 2 "),
    (n.drop_group, "{ {1, 2} }", "1, 2"),
    (n.drop_group, r"{1}+{2}", r"{1}+{2}"),
    (n.drop_group, r"\{1, 2\}", r"\{1, 2\}"),
    (n.unwrap_joined_text, r"7\text{ or 8}", "7  or 8 "),
    (n.unwrap_joined_text, r"2\text{, and }3", "2 , and  3"),
    (n.unwrap_joined_text, r"5\text{ floors}", r"5\text{ floors}"),
    (n.and_to_comma, "7, -2, and -5 or 3", "7, -2, -5, 3"),
    (n.and_to_comma, "sand 4", "sand 4"),
    (n.drop_delimiter_sizes, r"\left(\bigl[1,\leftarrow\Big|\right.", r" ( [1,\leftarrow | "),
    (n.join_thousands, "15,600", "15600"),
    (n.join_thousands, "-1,234,567.5", "-1234567.5"),
    (n.join_thousands, "1,000, 5", "1000, 5"),
    (n.join_thousands, "32, 349", "32, 349"),
    (n.join_thousands, r"(1,234) \{1,234\} [1,234)", r"(1,234) \{1,234\} [1,234)"),
    (n.join_thousands, "1,2345", "1,2345"),
    (n.join_thousands, "12,34", "12,34"),
    (n.unwrap_text, r"\textbf{(\text{C})}", " ( C ) "),
    (n.drop_degrees_and_percent, r"(45^\circ, 45^{\circ}, 30\%, 30%)", "(45 , 45 , 30 , 30 )"),
    (n.one_fraction_macro, r"\dfrac12+\tfrac{3}{4}-\cfrac56", r"\frac12+\frac{3}{4}-\frac56"),
    (n.one_sign, r"k\geqslant2\le3\leq4\left\ne−1", r"k\geq2\leq3\leq4\left\neq-1"),
    (n.one_sign, "π≤∞", r"\pi \leq \infty "),
    (n.brace_arguments, r"\frac12", r"\frac{1}{2}"),
    (n.brace_arguments, r"\frac 9{20}", r"\frac{9}{20}"),
    (n.brace_arguments, r"\frac{360}7", r"\frac{360}{7}"),
    (n.brace_arguments, r"\frac\pi4", r"\frac{\pi}{4}"),
    (n.brace_arguments, r"\frac{\sqrt2}{x^2}", r"\frac{\sqrt{2}}{x^{2}}"),
    (n.brace_arguments, r"x^\frac12_3", r"x^{\frac{1}{2}}_{3}"),
    (n.brace_arguments, r"\sqrt[3]7 \sqrt 25", r"\sqrt[3]{7} \sqrt{2}5"),
    (n.brace_arguments, r"a\_b^", r"a\_b^"),
    (n.drop_spaces, " ( 1,\n2 ) ", "(1, 2)"),
    (n.drop_spaces, "(1,2)", "(1, 2)"),
    (n.drop_spaces, "2  1/3 x", "2 1/3x"),
    (n.drop_spaces, "7 . 5", "7 . 5"),
    (n.drop_trailing_punctuation, "104.", "104"),
    (n.drop_trailing_punctuation, "4:30p.m. .", "4:30p.m"),
    (n.drop_trailing_punctuation, "1, 2...", "1, 2..."),
    (n.drop_trailing_punctuation, "1, . . .", "1, . . ."),
    (n.drop_enclosing, "{(113)}", "113"),
    (n.drop_enclosing, "(1,2)", "(1,2)"),
    (n.drop_enclosing, "((1,2))", "(1,2)"),
    (n.drop_enclosing, "(x+1)(x-2)", "(x+1)(x-2)"),
    (n.drop_enclosing, "(0,1]", "(0,1]"),
    (n.trim_decimals, ".5", "0.5"),
    (n.trim_decimals, "37.50+2.0+1./3", "37.5+2+1/3"),
    (n.trim_decimals, "1.2.30 100", "1.2.30 100"),
    (n.one_scientific_form, "4.5e33", r"4.5\times10^{33}"),
    (n.one_scientific_form, r"4.5\cdot10^{-3}", r"4.5\times10^{-3}"),
    (n.one_scientific_form, "1e-5", "10^{-5}"),
    (n.one_scientific_form, "2e3x+1e4_{16}", "2e3x+1e4_{16}"),
    (n.slash_to_fraction, "(-3/4, 1/2)", r"(-\frac{3}{4}, \frac{1}{2})"),
    (n.slash_to_fraction, r"5\pi/6+\sqrt{3}/2", r"\frac{5\pi}{6}+\frac{\sqrt{3}}{2}"),
    (n.slash_to_fraction, "(x+1)/(2a)", r"\frac{x+1}{2a}"),
    (n.slash_to_fraction, "12^{1/7}", r"12^{\frac{1}{7}}"),
    (n.slash_to_fraction, "2 1/3", r"2 \frac{1}{3}"),
    (n.slash_to_fraction, "n(n+1)/2", r"\frac{n(n+1)}{2}"),
    (
        n.slash_to_fraction,
        r"\begin{pmatrix}1/2\\-1/2\end{pmatrix}",
        r"\begin{pmatrix}\frac{1}{2}\\-\frac{1}{2}\end{pmatrix}",
    ),
    (n.slash_to_fraction, "1/2x", "1/2x"),
    (n.slash_to_fraction, "1/2/3", "1/2/3"),
    (n.slash_to_fraction, r"\sinx/2", r"\sinx/2"),
    (n.sign_before_fraction, r"\frac{-1}{2}", r"-\frac{1}{2}"),
    (n.sign_before_fraction, r"\frac{1}{-2}", r"-\frac{1}{2}"),
    (n.sign_before_fraction, r"\frac{-\pi}{-2}", r"\frac{\pi}{2}"),
    (n.sign_before_fraction, r"\frac{-1+x}{2}", r"\frac{-1+x}{2}"),
    (n.sign_before_fraction, r"3\frac{-1}{2}", r"3\frac{-1}{2}"),
    (n.sign_before_fraction, r"\frac{-1}{2}^{2}", r"\frac{-1}{2}^{2}"),
    (n.close_mixed_number, r"2 \frac{1}{3}", r"2\frac{1}{3}"),
    (n.drop_unary_plus, r"(+1, +\infty)", r"(1, \infty)"),
    (n.drop_unary_plus, "1+2", "1+2"),
    (n.drop_leading_zeros, "-007", "-7"),
    (n.drop_leading_zeros, "000", "0"),
    (n.drop_leading_zeros, "0.5", "0.5"),
]


@pytest.mark.parametrize(("step", "before", "after"), STEP_CASES)
def test_step(step, before, after):
    assert step(before) == after


def test_every_step_has_a_case():
    assert {step for step, _, _ in STEP_CASES} == {*n.LIST_STEPS, *n.PART_STEPS, n.drop_leading_zeros}


def test_order_matters_where_it_is_stated():
    assert normalise(r"111, \! 111, \! 111") == "111111111"
    assert normalise(r"-1./3") == r"-\frac{1}{3}"
    assert normalise(r"1.70 \times 10^4") == normalise("1.7e4") == r"1.7\times10^{4}"
    assert normalise(r"\frac{3}{4}\pi\text{ inches}") == r"\frac{3\pi}{4}"
    assert normalise("2 1/3") == normalise(r"2\tfrac13") == r"2\frac{1}{3}"


@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        ("x=3", [("3", None, "x")]),
        ("f(x)=2x", [("2x", None, "f(x)")]),
        ("m_{max}=n^{2}", [("n^{2}", None, "m_{max}")]),
        (r"x\in[-2,7]", [("[-2, 7]", None, "x")]),
        ("(x,y)=(1,2)", [("(1, 2)", None, "(x, y)")]),
        (r"(r,\theta)=(1,\pi)", [(r"(1, \pi)", None, r"(r, \theta)")]),
        ("(y,x)=(1,2)", [("(y, x)=(1, 2)", None, None)]),
        (r"x\infty", [(r"x\infty", None, None)]),
        ("x^{2}+y^{2}=13", [("x^{2}+y^{2}=13", None, None)]),
        ("a=b=3", [("a=b=3", None, None)]),
        (r"x=2\text{ cm or }x=3\text{ cm}", [("2", "cm", "x"), ("3", "cm", "x")]),
        (r"\$5, 6\text{ m/s}^2", [("5", "dollar", None), ("6", "m*s^-2", None)]),
    ],
)
def test_parts(answer, parts):
    assert [(part.value, part.unit, part.variable) for part in read(answer)] == parts


DIFFERENT = [
    "5",
    "-5",
    "0.5",
    r"\frac{1}{2}",
    "50",
    "x",
    "2x",
    r"\sqrt{5}",
    "5^{2}",
    "52",
    "(5,2)",
    "(2,5)",
    "[5,2)",
    "5!",
    "y=x^2+2",
]


def test_different_answers_stay_different():
    assert len({normalise(a) for a in DIFFERENT}) == len(DIFFERENT)


integers = st.integers(-(10**6), 10**6)
fractions = st.tuples(integers, st.integers(2, 99)).map(lambda f: rf"\frac{{{f[0]}}}{{{f[1]}}}")
radicals = st.tuples(st.integers(2, 99), st.integers(2, 9)).map(lambda f: rf"{f[0]}\sqrt{{{f[1]}}}")
scalars = st.one_of(integers.map(str), fractions, radicals)
tuples = st.lists(scalars, min_size=2, max_size=4).map(lambda parts: f"({','.join(parts)})")
expressions = st.one_of(scalars, tuples)

SPELLINGS = [
    lambda s: f" {s} ",
    lambda s: f"${s}$",
    lambda s: f"{s}.",
    lambda s: f"x = {s}",
    lambda s: f"\\left{s}".replace(")", "\\right)") if s.startswith("(") and s.count("(") == 1 else s,
    lambda s: s.replace(r"\frac", r"\dfrac"),
    lambda s: s.replace(",", ", \\ "),
    lambda s: f"\\text{{{s}}}" if "{" not in s else s,
]


@given(expressions, st.sampled_from(SPELLINGS))
def test_a_spelling_does_not_change_the_answer(answer, respell):
    assert normalise(respell(answer)) == normalise(answer)


@given(expressions)
def test_normalising_twice_changes_nothing(answer):
    assert normalise(normalise(answer)) == normalise(answer)


@given(expressions, expressions)
def test_two_canonical_answers_are_never_merged(a, b):
    canonical = [s.replace(r"\frac{-", r"-\frac{") for s in (a, b)]
    assert (normalise(a) == normalise(b)) == (canonical[0] == canonical[1])


@given(st.integers(0, 10**15))
def test_thousands_commas(value):
    assert normalise(f"{value:,}") == str(value)


@given(st.text(alphabet=string.printable, max_size=60), st.booleans())
def test_any_text_is_survived(text, integer):
    assert isinstance(normalise(text, integer), str)
    assert "".join(split_answers(text)) is not None


RUNAWAYS = [
    "{",
    "}",
    "(",
    "^",
    "/",
    " ",
    "9",
    "1,",
    "1 ",
    " and ",
    "\\,",
    "\\frac",
    "\\sqrt{",
    "\\text{",
    "\\text{a} ",
    " \\text{a} /",
]


@pytest.mark.parametrize("piece", RUNAWAYS)
@pytest.mark.parametrize("end", ["", "x"])
def test_an_answer_that_runs_on_is_cheap(piece, end):
    started = time.perf_counter()
    normalise(piece * (n.MAX_CHARACTERS // len(piece) - 1) + end)
    assert time.perf_counter() - started < 1
    long = " ".join((piece * 10_000).split())
    assert normalise(long) == long

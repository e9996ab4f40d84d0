"""Normalisation: each step does what its first line says, and together they merge spellings and nothing else."""

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenspectrum.reward import normalise as n

STEP_CASES = [
    (n.drop_math_delimiters, r"\$5 and $x$ \\(1)", r"5 and x \\(1)"),
    (n.drop_spacing_macros, r"1,\!000\,a\;b~c {,} \\ 2\quad", r"1,000 a b c , \\ 2 "),
    (n.drop_unit_text, r"5\text{ cm}^2", "5"),
    (n.drop_unit_text, r"5 \mathrm{~m} / \mathrm{s}^{2}.", "5"),
    (n.drop_unit_text, r"\text{Evelyn}", r"\text{Evelyn}"),
    (n.drop_unit_text, r"x=\text{even}", r"x=\text{even}"),
    (n.drop_unit_text, r"x_\text{max}", r"x_\text{max}"),
    (n.drop_unit_text, r"9\text{ a.m.}", r"9\text{ a.m.}"),
    (n.drop_unit_text, r"2\text{ or }3", r"2\text{ or }3"),
    (n.unwrap_text, r"\textbf{(\text{C})}", "(C)"),
    (n.drop_unit_words, "12 square inches", "12"),
    (n.drop_unit_words, r"\frac{1}{2} hours.", r"\frac{1}{2}"),
    (n.drop_unit_words, "people", "people"),
    (n.and_to_comma, "7, -2, and -5 or 3", "7, -2, -5, 3"),
    (n.and_to_comma, "sand 4", "sand 4"),
    (n.drop_delimiter_sizes, r"\left(\bigl[1,\leftarrow\Big|\right.", r"([1,\leftarrow|"),
    (n.drop_degrees_and_percent, r"45^\circ 45^{\circ} 30\% 30%", "45 45 30 30"),
    (n.one_fraction_macro, r"\dfrac12+\tfrac{3}{4}-\cfrac56", r"\frac12+\frac{3}{4}-\frac56"),
    (n.one_comparison_sign, r"k\geqslant2\le3\leq4\left\ne−1", r"k\geq2\leq3\leq4\left\neq-1"),
    (n.brace_arguments, r"\frac12", r"\frac{1}{2}"),
    (n.brace_arguments, r"\frac 9{20}", r"\frac{9}{20}"),
    (n.brace_arguments, r"\frac{360}7", r"\frac{360}{7}"),
    (n.brace_arguments, r"\frac\pi4", r"\frac{\pi}{4}"),
    (n.brace_arguments, r"\frac{\sqrt2}{x^2}", r"\frac{\sqrt{2}}{x^{2}}"),
    (n.brace_arguments, r"x^\frac12_3", r"x^{\frac{1}{2}}_{3}"),
    (n.brace_arguments, r"\sqrt[3]7 \sqrt 25", r"\sqrt[3]{7} \sqrt{2}5"),
    (n.brace_arguments, r"a\_b^", r"a\_b^"),
    (n.drop_spaces, " ( 1,\n2 ) ", "(1,2)"),
    (n.drop_trailing_punctuation, "104.", "104"),
    (n.drop_enclosing, "{(113)}", "113"),
    (n.drop_enclosing, "(1,2)", "(1,2)"),
    (n.drop_enclosing, "((1,2))", "(1,2)"),
    (n.drop_enclosing, "(x+1)(x-2)", "(x+1)(x-2)"),
    (n.drop_enclosing, "(0,1]", "(0,1]"),
    (n.drop_variable, "x=3", "3"),
    (n.drop_variable, r"f(x)=2x", "2x"),
    (n.drop_variable, r"m_{max}=n^{2}", "n^{2}"),
    (n.drop_variable, r"x\in[-2,7]", "[-2,7]"),
    (n.drop_variable, r"x\infty", r"x\infty"),
    (n.drop_variable, "x^{2}+y^{2}=13", "x^{2}+y^{2}=13"),
    (n.drop_variable, "a=b=3", "a=b=3"),
    (n.drop_thousands_commas, "15,600", "15600"),
    (n.drop_thousands_commas, "-1,234,567.5", "-1234567.5"),
    (n.drop_thousands_commas, "(1,234)", "(1,234)"),
    (n.drop_thousands_commas, "1,2345", "1,2345"),
    (n.drop_thousands_commas, "12,34", "12,34"),
    (n.trim_decimals, ".5", "0.5"),
    (n.trim_decimals, "37.50+2.0+1./3", "37.5+2+1/3"),
    (n.trim_decimals, "1.2.30 100", "1.2.30 100"),
    (n.one_scientific_form, "4.5e33", r"4.5\times10^{33}"),
    (n.one_scientific_form, r"4.5\cdot10^{-3}", r"4.5\times10^{-3}"),
    (n.one_scientific_form, "1e-5", "10^{-5}"),
    (n.one_scientific_form, "2e3x+1e4_{16}", "2e3x+1e4_{16}"),
    (n.slash_to_fraction, "(-3/4,1/2)", r"(-\frac{3}{4},\frac{1}{2})"),
    (n.slash_to_fraction, "1/2x", "1/2x"),
    (n.slash_to_fraction, "n(n+1)/2", "n(n+1)/2"),
    (n.slash_to_fraction, "1/2/3", "1/2/3"),
    (n.sign_before_fraction, r"\frac{-1}{2}", r"-\frac{1}{2}"),
    (n.sign_before_fraction, r"\frac{-1+x}{2}", r"\frac{-1+x}{2}"),
    (n.drop_unary_plus, r"(+1,+\infty)", r"(1,\infty)"),
    (n.drop_unary_plus, "1+2", "1+2"),
    (n.drop_leading_zeros, "-007", "-7"),
    (n.drop_leading_zeros, "000", "0"),
    (n.drop_leading_zeros, "0.5", "0.5"),
]


@pytest.mark.parametrize(("step", "before", "after"), STEP_CASES)
def test_step(step, before, after):
    assert step(before) == after


def test_every_step_has_a_case():
    assert {step for step, _, _ in STEP_CASES} == {*n.STEPS, n.drop_leading_zeros}


def test_order_matters_where_it_is_stated():
    assert n.normalise(r"111, \! 111, \! 111") == "111111111"
    assert n.normalise(r"-1./3") == r"-\frac{1}{3}"
    assert n.normalise(r"1.70 \times 10^4") == n.normalise("1.7e4") == r"1.7\times10^{4}"
    assert n.normalise(r"\frac{3}{4}\pi\text{ inches}") == r"\frac{3}{4}\pi"


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
    assert len({n.normalise(a) for a in DIFFERENT}) == len(DIFFERENT)


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
    assert n.normalise(respell(answer)) == n.normalise(answer)


@given(expressions)
def test_normalising_twice_changes_nothing(answer):
    assert n.normalise(n.normalise(answer)) == n.normalise(answer)


@given(expressions, expressions)
def test_two_canonical_answers_are_never_merged(a, b):
    canonical = [s.replace(r"\frac{-", r"-\frac{") for s in (a, b)]
    assert (n.normalise(a) == n.normalise(b)) == (canonical[0] == canonical[1])


@given(st.integers(0, 10**15))
def test_thousands_commas(value):
    assert n.normalise(f"{value:,}") == str(value)


@given(st.text(alphabet=string.printable, max_size=60), st.booleans())
def test_any_text_is_survived(text, integer):
    assert isinstance(n.normalise(text, integer), str)
    assert "".join(n.split_answers(text)) is not None


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
    n.normalise(piece * (n.MAX_CHARACTERS // len(piece) - 1) + end)
    assert time.perf_counter() - started < 1
    assert n.normalise(piece * 10_000) == piece * 10_000

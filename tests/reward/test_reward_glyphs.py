"""Signs of Unicode and of LaTeX that print alike are one spelling; what prints as another value is another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenspectrum.reward.boxed import verify
from tokenspectrum.reward.glyphs import one_glyph


def accepts(box: str, gold: str) -> bool:
    return verify(f"Hence \\boxed{{{box}}}.", gold, "math").correct


ALIKE = [
    ("7 cm²", r"7\text{ cm}^2"),
    ("7 m³", r"7\text{ m}^3"),
    ("7 cm²", "7"),
    ("x²+1", "x^2+1"),
    ("3 × 10⁻⁵", r"3\times 10^{-5}"),
    ("x₁=2, x₂=3", "2,3"),
    ("½", "1/2"),
    ("-¾", r"-\frac34"),
    ("2½", r"2\frac{1}{2}"),
    ("√2", r"\sqrt2"),
    ("√(x+1)", r"\sqrt{x+1}"),
    ("√3/2", r"\frac{\sqrt{3}}{2}"),
    ("2·3^4", r"2 \cdot 3^4"),
    (r"\large 7", "7"),
    (r"\Large{7}", "7"),
    (r"{\bf 7}", "7"),
    (r"\color{red}{7}", "7"),
    (r"\textcolor{blue}{\frac12}", r"\frac{1}{2}"),
    (r"\frac34\pi", r"\frac{3\pi}{4}"),
    (r"-\frac{1}{2}\sqrt{3}", r"-\frac{\sqrt{3}}{2}"),
    (r"(\frac12x, \frac{3}{4}\pi)", r"(\frac{x}{2}, \frac{3\pi}{4})"),
    ("7", r"7^\circ C"),
    ("7^{\\circ}C", r"7^\circ\text{C}"),
    ("7 °C", "7 degrees Celsius"),
    (r"7\,^\circ\text{F}", r"7^\circ F"),
]
UNLIKE = [
    ("7²", "7"),
    ("7²", "72"),
    ("7₂", "72"),
    ("2½", "21/2"),
    ("1½", "1/2"),
    ("√23", r"\sqrt{2}3"),
    ("√", "7"),
    (r"7\large8", "78"),
    (r"7\bf8", "78"),
    (r"7\color{red}8", "78"),
    (r"7\color{red}8", "7"),
    (r"2\frac{1}{2}\pi", r"2\frac{\pi}{2}"),
    (r"2\frac{1}{2}x", r"\frac{2x}{2}"),
    (r"\frac{3}{4}\pi r", r"\frac{3\pi}{4}"),
    (r"\frac{1}{2}3", r"\frac{3}{2}"),
    (r"7^\circ C", r"7^\circ F"),
    (r"7^\circ 8", "7"),
    (r"7^\circ Cat", "7"),
    (r"\begin{pmatrix}a\\bf\end{pmatrix}", r"\begin{pmatrix}a\\rm\end{pmatrix}"),
    ("2³√5", r"2^{3}\sqrt{5}"),
    ("√()", "None"),
]


@pytest.mark.parametrize(("box", "gold"), ALIKE)
def test_what_prints_alike_is_one_answer(box, gold):
    assert accepts(box, gold)
    assert accepts(gold, gold)


@pytest.mark.parametrize(("box", "gold"), UNLIKE)
def test_what_prints_as_another_value_is_another_answer(box, gold):
    assert not accepts(box, gold)


@given(st.integers(0, 999), st.integers(-99, 99))
def test_a_raised_number_is_a_power_and_nothing_else(base, exponent):
    raised = str(exponent).translate(str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"))
    assert accepts(f"{base}{raised}", f"{base}^{{{exponent}}}")
    assert not accepts(f"{base}{raised}", str(base))
    assert not accepts(f"{base}{raised}", f"{base}{exponent}")


@given(st.integers(2, 99), st.integers(2, 99), st.sampled_from([r"\pi", "x", r"\sqrt{2}", r"x^2\pi"]))
def test_a_factor_stands_behind_a_fraction_or_above_it(above, below, factor):
    assert accepts(rf"\frac{{{above}}}{{{below}}}{factor}", rf"\frac{{{above}{factor}}}{{{below}}}")
    assert not accepts(rf"\frac{{{above}}}{{{below}}}{factor}", rf"\frac{{{above}}}{{{below}}}")
    assert not accepts(rf"\frac{{{above}}}{{{below}}}{factor}", rf"\frac{{{above}}}{{{below}{factor}}}")


@given(st.text(st.characters(max_codepoint=127)))
def test_what_has_no_sign_of_unicode_stays(text):
    assert one_glyph(text) == text

r"""One spelling for what Unicode and LaTeX each have signs of: 7 cm² and 7 cm^{2}, √2 and \sqrt{2}, ½ and \frac{1}{2}.

Each rewrites a sign into the macro that prints the same.  Knows no answer's value.
"""

import re

_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿˣ", "0123456789+-()nx")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_FRACTIONS = {
    **{"½": "12", "⅓": "13", "⅔": "23", "¼": "14", "¾": "34", "⅕": "15", "⅖": "25", "⅗": "35", "⅘": "45", "⅙": "16"},
    **{"⅚": "56", "⅐": "17", "⅛": "18", "⅜": "38", "⅝": "58", "⅞": "78", "⅑": "19"},
}
# What stands under a root sign: a number, a letter or a bracket.  Behind a raised digit it is no square root.
_ROOT = re.compile(r"(?<![⁰¹²³⁴⁵⁶⁷⁸⁹])√\s*(?:\(([^()]+)\)|(\d+(?:\.\d+)?|[A-Za-z]))")


def one_glyph(s: str) -> str:
    r"""x² -> x^{2}, x₁ -> x_{1}, √(x+1) -> \sqrt{x+1}, 2½ -> 2\frac{1}{2}, 2·3 -> 2\cdot 3."""
    if s.isascii():
        return s
    s = _ROOT.sub(lambda m: rf"\sqrt{{{m.group(1) or m.group(2)}}}", s)
    s = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿˣ]+", lambda m: f"^{{{m.group().translate(_RAISED)}}}", s)
    s = re.sub(r"[₀₁₂₃₄₅₆₇₈₉]+", lambda m: f"_{{{m.group().translate(_LOWERED)}}}", s)
    s = re.sub("[·⋅]", r"\\cdot ", s)
    return "".join(rf"\frac{{{_FRACTIONS[c][0]}}}{{{_FRACTIONS[c][1]}}}" if c in _FRACTIONS else c for c in s)


def drop_looks(s: str) -> str:
    r"""\large 7, {\bf 7}, \color{red}7 -> 7: a blank in the place of each, so that 7\large8 is not 78."""
    s = re.sub(r"(?<!\\)\\(?:text)?color\s*\{[^{}]*\}", " ", s)
    sizes = "tiny|scriptsize|footnotesize|small|normalsize|large|Large|LARGE|huge|Huge"
    return re.sub(rf"(?<!\\)\\(?:{sizes}|bf|it|rm|sf|bfseries|itshape)(?![A-Za-z])", " ", s)

"""Ordered rewriting steps that bring two spellings of one answer to the same string.

STEPS lists them in the order in which they run; each is a small function from string to string.  They compare
spellings, not values: 0.5 and 1/2 stay different (the alternative scorer counts what that costs).  Knows no benchmark;
the one step that not every source gets, `drop_leading_zeros`, is asked for by the caller.
"""

import re
from collections.abc import Callable
from functools import lru_cache

# Golds stay below 200 characters; a longer answer is a policy running on, and is compared as it stands.
MAX_CHARACTERS = 2000

_UNIT_MACRO = r"\\(?:text|mbox|mathrm|textrm|textnormal|operatorname)"
_FONT_MACRO = r"\\(?:text|mbox|mathrm|textrm|textnormal|operatorname|textbf|mathbf|textit|mathit|boldsymbol|bm)"
_HALF_DAY = r"\s*[ap]\.?\s?m\.?\s*\}"
_ONE_UNIT = rf"(?:\s|/|\\cdot)*{_UNIT_MACRO}\s*\{{(?!{_HALF_DAY})[^{{}}]*\}}(?:\s*\^\s*\{{?-?\d+\}}?)?"
_UNIT_TEXT = re.compile(rf"(?<=[^\s=,+\-<>(\[{{_^/&|])(?:{_ONE_UNIT})+\s*\.?\s*$")
_UNIT_WORDS = (
    "degrees?|radians?|percent|points?|units?|dollars?|cents?|inch(?:es)?|feet|foot|miles?|yards?|meters?|metres?|"
    "kilometers?|centimeters?|km|cm|mm|ft|mph|seconds?|minutes?|hours?|days?|weeks?|months?|years?|grams?|kilograms?|"
    "kg|pounds?|ounces?|gallons?|liters?|litres?|ways?|integers?|numbers?|students?|people|books?|edges?|digits?|terms?"
)
_UNIT_WORD = re.compile(rf"(?<=[\d}}])(?:\s+(?:square|cubic))?\s*(?:{_UNIT_WORDS})(?:\^\{{?\d\}}?)?\s*\.?\s*$")
_SCIENTIFIC = re.compile(
    r"(?<![\w.}])(\d+(?:\.\d+)?)(?:[eE]([+-]?\d+)|(?:\\times|\\cdot|\*)10\^\{([+-]?\d+)\})(?![\w.])"
)
_VARIABLE = re.compile(r"(?:[A-Za-z]|\\[A-Za-z]+)(?:_\{[^{}]*\})?(?:\([A-Za-z]\))?(?:=|\\in(?![A-Za-z]))([^=]+)")
_ATOM = re.compile(r"\\(?:[A-Za-z]+|.)|.", re.DOTALL)


def drop_math_delimiters(s: str) -> str:
    r"""$x$, \(x\), \$5 -> the bare text."""
    return re.sub(r"\\?\$|(?<!\\)\\[()]", "", s)


def drop_spacing_macros(s: str) -> str:
    r"""\! vanishes, {,} is a plain comma, \, \; \: \quad ~ are a space, and of spaces one is enough."""
    s = re.sub(r",\s*\\!\s*|\{,\}", ",", s).replace("\\!", "")
    return re.sub(r"\s+", " ", re.sub(r"(?<!\\)\\[,;: ]|\\q?quad(?![A-Za-z])|~", " ", s))


def drop_unit_text(s: str) -> str:
    r"""5\text{ cm}^2 -> 5; \text{Evelyn}, x=\text{even} and 9\text{ a.m.} stay."""
    return _UNIT_TEXT.sub("", s)


def unwrap_text(s: str) -> str:
    r"""\text{Evelyn} -> Evelyn, \textbf{(C)} -> (C), innermost first."""
    before = None
    while before != s:
        before, s = s, re.sub(rf"{_FONT_MACRO}\s*\{{([^{{}}]*)\}}", r"\1", s)
    return s


def drop_unit_words(s: str) -> str:
    """12 square inches -> 12: plain words of a short list, behind a number."""
    return _UNIT_WORD.sub("", s)


def and_to_comma(s: str) -> str:
    """7, -2, and -5 -> 7, -2, -5."""
    return re.sub(r"\s*,?\s+(?:and|or)\s+", ", ", s)


def drop_delimiter_sizes(s: str) -> str:
    r"""\left( \right] \Bigl( -> ( ] (."""
    return re.sub(r"\\(?:left|right)\.|\\(?:left|right|[bB]igg?[lrm]?)(?![A-Za-z])", "", s)


def drop_degrees_and_percent(s: str) -> str:
    r"""45^\circ -> 45, 30\% -> 30."""
    return re.sub(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))|°|\\?%", "", s)


def one_fraction_macro(s: str) -> str:
    r"""\dfrac \tfrac \cfrac -> \frac."""
    return re.sub(r"\\[dtc]frac(?![A-Za-z])", r"\\frac", s)


def one_comparison_sign(s: str) -> str:
    r"""\le \leqslant -> \leq, likewise \geq; \ne -> \neq; the typographic minus -> -."""
    s = re.sub(r"\\(l|g)e(?:qslant)?(?![A-Za-z])", r"\\\1eq", s)
    return re.sub(r"\\ne(?![A-Za-z])", r"\\neq", s).replace("−", "-")


def _argument(s: str, start: int) -> tuple[str, int]:
    """The LaTeX argument at or after `start`, in braces, and the position behind it; ("", end) where there is none."""
    i = start
    while i < len(s) and s[i].isspace():
        i += 1
    if i == len(s) or s[i] == "}":
        return "", i
    if s[i] == "{":
        depth = 0
        for j in range(i, len(s)):
            depth += (s[j] == "{") - (s[j] == "}")
            if depth == 0:
                return s[i : j + 1], j + 1
        return s[i:], len(s)
    atom = _ATOM.match(s, i)
    end = atom.end()
    # x^\frac{1}{2}: these two are always braced when their turn as an argument comes.
    for _ in range({"\\frac": 2, "\\sqrt": 1}.get(atom.group(), 0)):
        end = _argument(s, end)[1]
    return f"{{{s[i:end]}}}", end


def brace_arguments(s: str) -> str:
    r"""\frac12 -> \frac{1}{2}, \sqrt 2 -> \sqrt{2}, x^2 -> x^{2}: every argument in braces, as LaTeX reads it."""
    macros = list(re.finditer(r"\\frac(?![A-Za-z])|\\sqrt(?![A-Za-z])(?:\s*\[[^\]]*\])?|(?<!\\)[\^_]", s))
    for macro in reversed(macros):  # from the right, so that what stands inside an argument is done before it
        first, end = _argument(s, macro.end())
        second = ""
        if macro.group() == "\\frac":
            second, end = _argument(s, end)
        s = s[: macro.end()] + first + second + s[end:]
    return s


def drop_spaces(s: str) -> str:
    """All white space, so that ( 1, 2 ) is (1,2)."""
    return re.sub(r"\s+", "", s)


def drop_trailing_punctuation(s: str) -> str:
    """A full stop, comma or semicolon at the end."""
    return s.rstrip(".,;")


def drop_enclosing(s: str) -> str:
    """{5} -> 5, (C) -> C, (113) -> 113; a tuple (1,2) and a product (x+1)(x-2) stay."""
    while len(s) > 2 and s[0] + s[-1] in ("()", "{}"):
        depth, commas = 0, 0
        for i, c in enumerate(s):
            depth += (c in "([{") - (c in ")]}")
            commas += c == "," and depth == 1
            if depth == 0 and i < len(s) - 1:
                return s
        if depth or (commas and s[0] == "("):
            return s
        s = s[1:-1]
    return s


def drop_variable(s: str) -> str:
    r"""x=3 -> 3, f(x)=2x -> 2x, x\in[1,2] -> [1,2]; an equation in more than one letter's place stays."""
    match = _VARIABLE.fullmatch(s)
    return match.group(1) if match else s


def drop_thousands_commas(s: str) -> str:
    """15,600 -> 15600; not inside a tuple or an interval."""
    return re.sub(
        r"(?<![\w,.(\[\\])(\d{1,3}(?:,\d{3})+)(?![\d,)\]])",
        lambda m: m.group().replace(",", ""),
        s,
    )


def trim_decimals(s: str) -> str:
    """.5 -> 0.5, 37.50 -> 37.5, 2.0 -> 2, 1. -> 1."""
    s = re.sub(r"(?<![\w.}])\.(?=\d)", "0.", s)
    return re.sub(r"(?<![\w.])(\d+)\.(?:(\d*[1-9])0*|0*)(?![\d.])", lambda m: ".".join(filter(None, m.groups())), s)


def one_scientific_form(s: str) -> str:
    r"""4.5e33 and 4.5\cdot10^{33} -> 4.5\times10^{33}; 1e-5 -> 10^{-5}."""

    def rewrite(match: re.Match[str]) -> str:
        mantissa, exponent = match.group(1), int(match.group(2) or match.group(3))
        return f"10^{{{exponent}}}" if mantissa == "1" else rf"{mantissa}\times10^{{{exponent}}}"

    return _SCIENTIFIC.sub(rewrite, s)


def slash_to_fraction(s: str) -> str:
    r"""3/4 -> \frac{3}{4}, of whole numbers standing alone."""
    return re.sub(r"(?<![\w.})/])(\d+)/(\d+)(?![\w.{(/^])", r"\\frac{\1}{\2}", s)


def sign_before_fraction(s: str) -> str:
    r"""\frac{-1}{2} -> -\frac{1}{2}."""
    return re.sub(r"\\frac\{-([^{}+\-]*)\}", r"-\\frac{\1}", s)


def drop_unary_plus(s: str) -> str:
    r"""+2 -> 2, (-\infty,+\infty) -> (-\infty,\infty)."""
    return re.sub(r"(?:^|(?<=[(\[,=]))\+", "", s)


def drop_leading_zeros(s: str) -> str:
    """025 -> 25, of a whole number: right only where every answer is an integer."""
    return re.sub(r"^(-?)0+(?=\d+$)", r"\1", s)


# What a list of answers goes through before it is split.
TEXT_STEPS: tuple[Callable[[str], str], ...] = (
    drop_math_delimiters,
    drop_spacing_macros,
    drop_unit_text,
    unwrap_text,
    drop_unit_words,
    and_to_comma,
    drop_delimiter_sizes,
    drop_degrees_and_percent,
)
FORM_STEPS: tuple[Callable[[str], str], ...] = (
    one_fraction_macro,
    one_comparison_sign,
    brace_arguments,
    drop_spaces,
    drop_trailing_punctuation,
    drop_enclosing,
    drop_variable,
    drop_thousands_commas,
    trim_decimals,
    one_scientific_form,
    slash_to_fraction,
    sign_before_fraction,
    drop_unary_plus,
)
STEPS = TEXT_STEPS + FORM_STEPS


def _run(steps: tuple[Callable[[str], str], ...], s: str) -> str:
    if len(s) <= MAX_CHARACTERS:
        for step in steps:
            s = step(s)
    return s


def plain_text(answer: str) -> str:
    """`answer` after TEXT_STEPS, stripped: still with the spaces and commas that separate its parts."""
    return _run(TEXT_STEPS, answer).strip()


@lru_cache(maxsize=65536)
def normalise(answer: str, integer: bool = False) -> str:
    """`answer` after STEPS, and after drop_leading_zeros where the source's answers are all integers."""
    answer = _run(STEPS, answer)
    return drop_leading_zeros(answer) if integer else answer


def split_answers(answer: str) -> list[str]:
    r"""The members of `1, (2,3) \text{ and } 4` or `\{1, 2\}`, split at the commas and semicolons outside brackets."""
    answer = plain_text(answer)
    if answer.startswith("\\{") and answer.endswith("\\}"):
        answer = answer[2:-2]
    parts, depth = [""], 0
    for c in answer:
        depth += (c in "([{") - (c in ")]}")
        if c in ",;" and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return parts

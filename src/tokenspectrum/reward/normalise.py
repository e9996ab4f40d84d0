r"""Ordered rewriting steps that bring two spellings of one answer to the same string.

LIST_STEPS prepare a whole answer, which is then split into its parts; PART_STEPS lists what each part goes through, in
order.  Each step is a small function from string to string.  They compare spellings, not values: 0.5 and 1/2 stay
different (the alternative scorer counts what that costs).  A blank stays where taking it away would run two numbers
together, and behind every comma that separates, so that 32, 349 is not 32,349.
Knows no benchmark, no unit, and not what is left over to the gold (answer.py).
"""

import re
from collections.abc import Callable

from tokenspectrum.reward.glyphs import drop_looks, one_glyph

# Golds stay below 200 characters; a longer answer is a policy running on, and is compared as it stands.
MAX_CHARACTERS = 2000

_FONT_MACRO = r"\\(?:text|mbox|mathrm|textrm|textnormal|operatorname|textbf|mathbf|textit|mathit|boldsymbol|bm)"
_SCIENTIFIC = re.compile(
    r"(?<![\w.}])(\d+(?:\.\d+)?)(?:[eE]([+-]?\d+)|(?:\\times|\\cdot|\*)10\^\{([+-]?\d+)\})(?![\w.])"
)
_SIGNS = str.maketrans(
    {"−": "-", "–": "-", "≤": r"\leq ", "≥": r"\geq ", "≠": r"\neq ", "π": r"\pi ", "∞": r"\infty ", "×": r"\times "}
)
_MARK = r"(?:,\s*\\!\s*|\{,\}|\\!\s*,\s*|\\,)"
_MARKED = re.compile(rf"(?<![\d.,])[1-9]\d{{0,2}}(?:{_MARK}\d{{3}})+(?!\d)")
_THOUSANDS = re.compile(r"(?<![\w,.])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)")
_ATOM = re.compile(r"\\(?:[A-Za-z]+|.)|.", re.DOTALL)
GREEK = (
    r"\\(?:alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|phi|varphi|"
    r"chi|psi|omega|Gamma|Delta|Theta|Lambda|Pi|Sigma|Phi|Psi|Omega|hbar|ell|infty)(?![A-Za-z])"
)
_BRACED = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*+\})*+\}"
# A number, letter, root, fraction or bracket with its powers.  Atomic, so that a long one is read once.
_FACTOR = (
    rf"(?>(?:\d+(?:\.\d+)?|\\frac{_BRACED}{_BRACED}|\\sqrt(?:\[\d+\])?{_BRACED}|{GREEK}|[A-Za-z]|\([^()]*\))"
    rf"(?:[\^_]{_BRACED})*)"
)
# What may stand before and behind a factor that is read by itself.
_OPENS = r"(?:^|(?<=[+\-=,;(<>\[{ &|])|(?<=matrix\})|(?<=\\\\))"
_CLOSES = r"(?=$|[+\-=,;)<>\]} &|]|\\(?:\\|\}|cdot|times|leq|geq|neq|in|cup|cap|pm|mp|end)(?![A-Za-z]))"
_SLASH = re.compile(rf"{_OPENS}({_FACTOR}++)/({_FACTOR}){_CLOSES}")
# A fraction of two numbers, with letters and roots directly behind it.
_BEHIND = re.compile(
    rf"{_OPENS}(-?)\\frac\{{(\d+)\}}\{{(\d+)\}}((?>(?:\\sqrt(?:\[\d+\])?{_BRACED}|{GREEK}|[A-Za-z])(?:\^{_BRACED})*)++){_CLOSES}"
)
_PLAIN_ARGUMENT = r"(?:[^{}+\-]|\{[^{}]*\})+"
_SIGNED_FRACTION = re.compile(
    rf"(?:^|(?<=[=,;(\[{{ &])|(?<=matrix\}})|(?<=\\\\))\\frac\{{(-?{_PLAIN_ARGUMENT})\}}\{{(-?{_PLAIN_ARGUMENT})\}}"
    r"(?![\^_])"
)


def drop_math_delimiters(s: str) -> str:
    r"""$x$, \(x\) -> a blank in the place of each, so that $7$$8$ is not 78; \$ is a currency and stays."""
    return re.sub(r"(?<!\\)\$|(?<!\\)\\[()]", " ", s)


def join_marked_thousands(s: str) -> str:
    r"""1,\!000, 1{,}000 and 1\,000 -> 1000: groups of three digits under a mark that only a thousand has.

    0{,}123 stays: no thousand begins with 0, and in much of the world that is 0.123.
    """
    return _MARKED.sub(lambda m: re.sub(_MARK, "", m.group()), s)


def drop_spacing_macros(s: str) -> str:
    r"""\! vanishes, \, \; \: \quad ~ are a space, and of spaces one is enough."""
    s = s.replace("\\!", "").replace("{,}", ",")
    return re.sub(r"\s+", " ", re.sub(r"(?<!\\)\\[,;: ]|\\q?quad(?![A-Za-z])|~", " ", s))


def drop_group(s: str) -> str:
    """{1, 2} -> 1, 2: braces around the whole only group, and print nothing."""
    s = s.strip()
    while s.startswith("{") and s.endswith("}"):
        depth = 0
        for i, c in enumerate(s):
            depth += (c == "{") - (c == "}")
            if depth == 0 and i < len(s) - 1:
                return s
        if depth:
            return s
        s = s[1:-1].strip()
    return s


def unwrap_joined_text(s: str) -> str:
    r"""7\text{ or 8} -> 7 or 8: a text that holds a number or joins two answers is part of the answer, not a unit."""
    return re.sub(rf"{_FONT_MACRO}\s*\{{([^{{}}]*(?:\d|[,;]|\b(?:and|or)\b)[^{{}}]*)\}}", r" \1 ", s)


def and_to_comma(s: str) -> str:
    r"""7, -2, and -5 -> 7, -2, -5; 7 \lor 8 -> 7, 8."""
    s = re.sub(r"\\(?:lor|vee)(?![A-Za-z])", " or ", s)
    return re.sub(r"(?<!\s)\s*(?:,\s*)?(?<=[\s,])(?:and|or)\s+(?=\S)", ", ", s)


def drop_delimiter_sizes(s: str) -> str:
    r"""\left( \right] \Bigl( \displaystyle 7 -> ( ] ( 7: a blank in the place of each, so that 7\big8 is not 78."""
    s = re.sub(r"\\(?:displaystyle|textstyle|scriptstyle)(?![A-Za-z])", " ", s)
    return re.sub(r"\\(?:left|right)\.|\\(?:left|right|[bB]igg?[lrm]?)(?![A-Za-z])", " ", s)


def join_thousands(s: str) -> str:
    """15,600 -> 15600 and 1,000, 5 -> 1000, 5; in brackets and behind a blank a comma separates."""
    pieces, depth = [], 0
    for piece in re.split(r"([(\[{}\])])", s):
        depth += (piece in "([{") - (piece in ")]}") if piece else 0
        if depth == 0:
            piece = _THOUSANDS.sub(lambda m: m.group().replace(",", ""), piece)
        pieces.append(piece)
    return "".join(pieces)


def unwrap_text(s: str) -> str:
    r"""\text{Evelyn} -> Evelyn, \textbf{(C)} -> (C), innermost first."""
    before = None
    while before != s:
        before, s = s, re.sub(rf"{_FONT_MACRO}\s*\{{([^{{}}]*)\}}", r" \1 ", s)
    return s


def drop_degrees_and_percent(s: str) -> str:
    r"""(30^\circ, 40\%) -> (30, 40): where they are not at the end of a part, which units.py reads."""
    return re.sub(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))|\\degree(?![A-Za-z])|°|\\?%|\\\$", " ", s)


def one_fraction_macro(s: str) -> str:
    r"""\dfrac \tfrac \cfrac -> \frac."""
    return re.sub(r"\\[dtc]frac(?![A-Za-z])", r"\\frac", s)


def one_sign(s: str) -> str:
    r"""\le \leqslant ≤ -> \leq, likewise \geq and \neq; the typographic minus -> -; π -> \pi."""
    s = re.sub(r"\\(l|g)e(?:qslant)?(?![A-Za-z])", r"\\\1eq", s.translate(_SIGNS))
    return re.sub(r"\\ne(?![A-Za-z])", r"\\neq", s)


def _argument(s: str, start: int) -> tuple[str, int]:
    """The LaTeX argument at or after `start`, in braces, and the position behind it; ("", end) where there is none."""
    i = start
    while i < len(s) and s[i].isspace():
        i += 1
    if i == len(s) or s[i] == "}":
        return "", start
    if s[i] == "{":
        depth = 0
        for end in range(i, len(s)):
            depth += (s[end] == "{") - (s[end] == "}")
            if depth == 0:
                return s[i : end + 1], end + 1
        return "", start
    atom = _ATOM.match(s, i)
    assert atom is not None, "any sign is an atom"
    end = atom.end()
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
    """( 1,2 ) -> (1, 2): no blank but one behind a comma, and one where two numbers would run together, as in 2 1/3."""
    return re.sub(r",(?=.)", ", ", re.sub(r"(?<![\d.])\s++|\s++(?![\d.])", "", s).strip())


def drop_trailing_punctuation(s: str) -> str:
    """Full stops, commas and semicolons at the end; three dots stay, since they say that more follows."""
    bare = s.rstrip(" .,;")
    return s if "..." in s[len(bare) :].replace(" ", "") else bare


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


def _unbracketed(s: str) -> str:
    return s[1:-1] if re.fullmatch(r"\([^()]*\)", s) else s


def slash_to_fraction(s: str) -> str:
    r"""3/4 -> \frac{3}{4}, 5\pi/6 -> \frac{5\pi}{6}, (x+1)/2 -> \frac{x+1}{2}; 1/2x and 1/2/3 stay: who knows."""
    return _SLASH.sub(lambda m: rf"\frac{{{_unbracketed(m.group(1))}}}{{{_unbracketed(m.group(2))}}}", s)


def sign_before_fraction(s: str) -> str:
    r"""\frac{-1}{2} and \frac{1}{-2} -> -\frac{1}{2}; not in 3\frac{-1}{2}, which is no difference."""

    def rewrite(match: re.Match[str]) -> str:
        above, below = match.groups()
        sign = "-" if above.startswith("-") != below.startswith("-") else ""
        return rf"{sign}\frac{{{above.removeprefix('-')}}}{{{below.removeprefix('-')}}}"

    return _SIGNED_FRACTION.sub(rewrite, s)


def factors_into_fraction(s: str) -> str:
    r"""\frac{3}{4}\pi -> \frac{3\pi}{4}, \frac{1}{2}\sqrt{3} -> \frac{\sqrt{3}}{2}; not in 2\frac{1}{2}x."""

    def rewrite(match: re.Match[str]) -> str:
        sign, above, below, factors = match.groups()
        return rf"{sign}\frac{{{'' if above == '1' else above}{factors}}}{{{below}}}"

    return _BEHIND.sub(rewrite, s)


def close_mixed_number(s: str) -> str:
    r"""2 \frac{1}{3} -> 2\frac{1}{3}: behind the fraction that a slash became."""
    return re.sub(r"(?<=\d) (?=\\frac)", "", s)


def drop_unary_plus(s: str) -> str:
    r"""+2 -> 2, (-\infty, +\infty) -> (-\infty, \infty)."""
    return re.sub(r"(?:^|(?<=[(\[=])|(?<=, ))\+", "", s)


def drop_leading_zeros(s: str) -> str:
    """025 -> 25, of a whole number: right only where every answer is an integer."""
    return re.sub(r"^(-?)0+(?=\d+$)", r"\1", s)


# What a whole answer goes through before it is split at its commas.
LIST_STEPS: tuple[Callable[[str], str], ...] = (
    one_glyph,
    drop_looks,
    drop_math_delimiters,
    join_marked_thousands,
    drop_spacing_macros,
    drop_group,
    unwrap_joined_text,
    and_to_comma,
    drop_delimiter_sizes,
    join_thousands,
)
# What each part goes through once its unit is off.
PART_STEPS: tuple[Callable[[str], str], ...] = (
    unwrap_text,
    drop_degrees_and_percent,
    one_fraction_macro,
    one_sign,
    brace_arguments,
    drop_spaces,
    drop_trailing_punctuation,
    drop_enclosing,
    trim_decimals,
    one_scientific_form,
    slash_to_fraction,
    sign_before_fraction,
    factors_into_fraction,
    close_mixed_number,
    drop_unary_plus,
)


def run(steps: tuple[Callable[[str], str], ...], s: str) -> str:
    """`s` after `steps`; as it stands where it is longer than any answer."""
    if len(s) <= MAX_CHARACTERS:
        for step in steps:
            s = step(s)
    return s


def split_top(s: str) -> list[str]:
    """`s` split at the commas and semicolons outside brackets; one at the very end separates nothing."""
    parts, depth, start = [], 0, 0
    s = s.strip()
    s = s[:-1] if s.endswith((",", ";")) else s
    for i, c in enumerate(s):
        if c in ",;" and depth == 0:
            parts.append(s[start:i])
            start = i + 1
        else:
            depth += (c in "([{") - (c in ")]}")
    return [*parts, s[start:]]

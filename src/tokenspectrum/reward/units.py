r"""The unit behind (or the currency before) an answer: what it is called, and whether it may be left out.

Only a unit that is known here, or that the gold answer itself names, is taken off an answer: `7\text{ or 8}` and
`3\text{ or more}` have none.  Two spellings of a unit have one name: `\text{ sq. cm}`, `\mathrm{cm}^{2}` and square
centimeters are cm^2.  Symbols of one letter count inside \text{} or \mathrm{} alone, since 5m may be 5 times m.
Knows no answer's value.
"""

import re
from collections import Counter
from collections.abc import Iterator

UNIT_MACRO = r"\\(?:text|mbox|mathrm|textrm|textnormal|operatorname)"

# Name -> its other spellings.  A plural s needs no entry.
_WORDS = {
    "m": "meter metre",
    "in": "inch inches",
    "ft": "foot feet",
    "mi": "mile",
    "yd": "yard",
    "g": "gram gramme gm",
    "lb": "pound lbs",
    "oz": "ounce",
    "t": "tonne",
    "ton": "",
    "l": "liter litre",
    "gal": "gallon",
    "qt": "quart",
    "pt": "pint",
    "cup": "",
    "s": "second sec",
    "min": "minute mins",
    "h": "hour hr hrs",
    "day": "",
    "week": "wk",
    "month": "",
    "year": "yr",
    "degree": "deg °",
    "radian": "rad",
    "percent": "percentage %",
    "dollar": "usd",
    "cent": "",
    "euro": "eur €",
    "pound-sterling": "gbp £",
    "unit": "",
    "acre": "",
    "hectare": "ha",
    "newton": "",
    "joule": "",
    "watt": "",
    "volt": "",
    "ampere": "amp",
    "ohm": "",
    "hertz": "hz",
    "pascal": "",
    "kelvin": "",
    "celsius": "",
    "fahrenheit": "",
    "mole": "mol",
    "erg": "ergs",
    "dyne": "",
    "parsec": "pc",
    "mph": "",
    "kph": "kmh",
    "bit": "",
    "byte": "",
    "point": "",
    "way": "",
    "integer": "",
    "number": "",
    "student": "",
    "people": "person",
    "book": "",
    "edge": "",
    "digit": "",
    "term": "",
    "solution": "",
    "triangle": "",
    "value": "",
}
_COMPOUND = {"mph": (("mi", 1), ("h", -1)), "kph": (("km", 1), ("h", -1))}
_SYMBOLS = {
    **{s: s for s in ("m", "g", "s", "h", "t")},
    **{"L": "l", "l": "l", "N": "newton", "J": "joule", "W": "watt", "V": "volt", "A": "ampere", "Hz": "hertz"},
    **{"Pa": "pascal", "K": "kelvin", "C": "celsius", "F": "fahrenheit", "eV": "ev", "AU": "au", "ly": "ly"},
    **{"d": "day"},
}
_PREFIXED = ("m", "g", "s", "l", "L", "W", "V", "A", "N", "J", "Hz", "Pa", "eV", "pc", "mol")
_PREFIXES = {"n": "n", "µ": "u", "μ": "u", "m": "m", "c": "c", "d": "d", "k": "k", "M": "M", "G": "G", "T": "T"}
_LONG_PREFIXES = {"nano": "n", "micro": "u", "milli": "m", "centi": "c", "deci": "d", "kilo": "k", "mega": "M"}
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
# Words that make a text a statement, a number or a time of day: never a unit, not even of a gold.
_STATEMENTS = """
or and if when where while for more less than at least most only up down over under above below between to not no base
mod a b c d e f g am pm hundred thousand million billion trillion dozen half third quarter pair pairs squared cubed
negative positive minus plus times both either neither else then so with without is are be each every about
approximately around exactly nearly almost roughly greater fewer smaller larger all any other maybe perhaps possibly
probably respectively zero one two three four five six seven eight nine ten eleven twelve
"""
_NO_UNIT = frozenset(_STATEMENTS.split())


def _known() -> tuple[dict[str, str], dict[str, str]]:
    """Lower-case words and case-sensitive symbols, each with the name of its unit."""
    words = {spelling: name for name, others in _WORDS.items() for spelling in (name, *others.split())}
    symbols = dict(_SYMBOLS)
    for prefix, short in _PREFIXES.items():
        for symbol in _PREFIXED:
            symbols[prefix + symbol] = short + _SYMBOLS.get(symbol, words.get(symbol, symbol))
    for prefix, short in _LONG_PREFIXES.items():
        for word in ("meter", "metre", "gram", "gramme", "liter", "litre", "second", "watt", "volt", "joule", "parsec"):
            words[prefix + word] = short + words[word]
    # Letters that only a symbol may be, not a word.
    for letter in [w for w in words if len(w) == 1 and w.isalpha()]:
        del words[letter]
    return words, symbols


_WORD_NAMES, _SYMBOL_NAMES = _known()

_DEGREE = r"(?:\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))|\\degree(?![A-Za-z])|°)"
_TOKEN = re.compile(
    rf"(?P<temperature>{_DEGREE}\s*(?P<scale>[CF])(?![A-Za-z]))"
    rf"|(?P<text>{UNIT_MACRO}\s*\{{[^{{}}]*\}})"
    r"|(?P<power>\^\s*(?:\{\s*-?\d\s*\}|-?\d))"
    rf"|(?P<degree>{_DEGREE})"
    r"|(?P<percent>\\?%)|(?P<dollar>\\\$)|(?P<join>/|\\cdot(?![A-Za-z]))|(?P<space>\s+)|(?P<word>(?<![\\A-Za-z])[A-Za-z]+)"
    r"|(?P<other>\\[A-Za-z]+|\\.|.)",
    re.DOTALL,
)
_PLAIN = re.compile(
    r"(?P<word>[^\W\d_]+|[%°€£])|(?P<power>\^\{?(?P<exponent>-?\d)\}?)|(?P<per>/)|(?P<skip>[\s.·])|(?P<bad>.)"
)
# A unit is short: more pieces than this are prose.
_MAX_PIECES = 9
_GLUED = re.compile(r"(?<![A-Za-z\\])[A-Za-z]$")
_ONE_LETTER = re.compile(rf"{UNIT_MACRO}\s*\{{[A-Za-z]\}}")
_BEFORE = re.compile(r"[^\s=,+\-<>(\[{_^/&|]$")


def _name(word: str, symbols: bool) -> str | None:
    """The name of the unit that `word` spells; symbols of one letter only where `symbols` says so."""
    if word in _SYMBOL_NAMES and (symbols or len(word) > 1):
        return _SYMBOL_NAMES[word]
    lower = word.lower()
    for candidate in (lower, lower.removesuffix("s"), lower.removesuffix("es")):
        if candidate in _WORD_NAMES:
            return _WORD_NAMES[candidate]
    return None


def unit_name(text: str, symbols: bool = True) -> str | None:
    """One name for all spellings of a known unit: `km/h`, `square meters`, `cm^2`; None for what is not known.

    `symbols` lets single letters be units.
    """
    powers: Counter[str] = Counter()
    sign, modifier, latest = 1, 1, None
    for piece in _PLAIN.finditer(text):
        if piece["skip"]:
            continue
        if piece["per"] or (piece["word"] or "").lower() == "per":
            sign, latest = -1, None
        elif piece["word"] and piece["word"].lower() in _POWERS:
            modifier = _POWERS[piece["word"].lower()]
        elif piece["word"]:
            name = _name(piece["word"], symbols)
            if name is None:
                return None
            for base, power in _COMPOUND.get(name, ((name, 1),)):
                powers[base] += sign * power * modifier
            latest, step, modifier = name, sign, 1
        elif piece["power"] and latest is not None:
            powers[latest] += step * (int(piece["exponent"]) - 1)
            latest = None
        else:
            return None
    if powers["degree"] == 1 and 1 in (powers["celsius"], powers["fahrenheit"]):
        powers["degree"] = 0  # degrees Celsius
    named = [f"{name}^{power}" if power != 1 else name for name, power in sorted(powers.items()) if power]
    # Nothing is measured in m^8: a power so high is a value beside the answer.
    sensible = named and modifier == 1 and all(abs(power) <= 3 for power in powers.values())
    return "*".join(named) if sensible else None


def own_name(text: str) -> str | None:
    """The name of a unit that only a gold knows, such as ` dogs`: at most three words, none of which says more."""
    words = text.replace("~", " ").strip(" .").lower().split()
    if not 1 <= len(words) <= 3 or not all(word.isalpha() and word not in _NO_UNIT for word in words):
        return None
    return "own " + " ".join(word.removesuffix("s") for word in words)


def _spelled(token: re.Match[str]) -> str:
    """A piece of an answer's end as plain text of a unit."""
    match token.lastgroup:
        case "text":
            return " " + token.group().partition("{")[2][:-1].replace("~", " ").replace("\\", " ") + " "
        case "temperature":
            return {"C": " celsius ", "F": " fahrenheit "}[token["scale"]]
        case "degree":
            return " degree "
        case "percent":
            return " percent "
        case "dollar":
            return " dollar "
        case "join":
            return "/" if token.group() == "/" else " "
    return token.group()


def _endings(tokens: list[re.Match[str]]) -> Iterator[list[re.Match[str]]]:
    """The ends of an answer that may be a unit, the longest first."""
    start = len(tokens)
    while start and len(tokens) - start < _MAX_PIECES and tokens[start - 1].lastgroup != "other":
        start -= 1
    for first in range(start, len(tokens)):
        if tokens[first].lastgroup not in ("space", "join", "power"):
            yield tokens[first:]


def split_unit(answer: str, own: str | None = None, gold: bool = False) -> tuple[str, str | None]:
    """(`answer` without its unit, the unit's name), or (`answer`, None) where it has no known one.

    `own` is the name of a unit that the gold has: an answer may have it too.  `gold` says that this is the gold, whose
    own words for what it counts are a unit.
    """
    s = answer.strip()
    if s.startswith("\\$"):
        return s[2:].strip(), "dollar"
    if s[:1] in ("€", "£"):
        return s[1:].strip(), unit_name(s[0])
    trimmed = s[:-1].rstrip() if s.endswith(".") and not s.endswith("..") else s
    tokens = list(_TOKEN.finditer(trimmed))
    for ending in _endings(tokens):
        before = trimmed[: ending[0].start()].rstrip()
        if not _BEFORE.search(before[-1:]):
            continue
        text = "".join(map(_spelled, ending))
        # Bare letters may be variables; in \text{} they are not.
        letters = all(token.lastgroup != "word" for token in ending)
        if not letters and before[-1].isalpha() and ending[0].lastgroup == "word":
            continue
        # `G\text{K}` is a name: a letter directly behind a variable is no unit.
        if _GLUED.search(trimmed[: ending[0].start()]) and _ONE_LETTER.fullmatch(ending[0].group()):
            continue
        name = unit_name(text, symbols=letters)
        if name is None and (gold or own is not None) and (letters or own is not None):
            candidate = own_name(text)
            name = candidate if gold or candidate == own else None
        if name is None and own is not None and unit_name(text) == own:
            name = own
        if name is not None:
            return before, name
    return s, None

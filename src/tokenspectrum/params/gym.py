"""The datasets of reasoning-gym that are refused, and why.  Their scorers cannot be trusted with a policy's words.

A response must not run code, and must not take more time than it is long.  Read off reasoning-gym 0.1.25; a test reads
the installed one.  Knows no other dataset.
"""

_RUNS = "its scorer runs an answer as Python code"
_ENDLESS = "its scorer may take any time over a short answer"
_OTHERS = "it hands answers to the scorers of other datasets"

REFUSED = {
    **dict.fromkeys(("binary_matrix", "n_queens", "spiral_matrix", "string_insertion"), _RUNS),
    # Theirs is SymPy's parse_expr, which evaluates what it reads.
    **dict.fromkeys(("countdown", "intermediate_integration", "polynomial_multiplication"), _RUNS),
    **dict.fromkeys(("puzzle24", "simple_integration"), _RUNS),
    # Fraction("1e999999999"), the distance of nested lists, all values of as many variables as an answer names, and
    # moves made 999999999 times.
    **dict.fromkeys(("codeio", "coin_flip", "propositional_logic", "rubiks_cube", "rush_hour"), _ENDLESS),
    "composite": _OTHERS,
}


def refusal(dataset: str) -> str | None:
    """One line about a dataset that is refused; None for any other."""
    if dataset not in REFUSED:
        return None
    return f"reasoning-gym's {dataset} is refused: {REFUSED[dataset]}; docs/data.md lists such datasets, take another"

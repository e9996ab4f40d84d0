"""Numbers as text in result files.  They have one form, so that the same numbers give the same bytes."""


def number(value: object) -> str:
    """A number as text: four decimals, scientific where they would show nothing, empty for None."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    if 1e-12 < abs(value) < 5e-5:
        return f"{value:.3e}"
    return f"{value if abs(value) > 1e-12 else 0.0:.4f}"

"""Scaling: Avg of every policy, by its size."""

from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.policies import policies
from tokenspectrum.results.tables import Tables


def compute(tables: Tables, given: Given) -> Answer:
    """Avg alone, the smallest policy first."""
    return Answer(sorted(policies(tables, given, ("Avg",)), key=lambda row: row["weights"] or 0))

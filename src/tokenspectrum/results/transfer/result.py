"""Transfer: Avg and the hardest benchmark of every policy."""

from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.policies import policies
from tokenspectrum.results.tables import Tables


def compute(tables: Tables, given: Given) -> Answer:
    """This preset, then the files by name; Avg and hardest."""
    return Answer(list(policies(tables, given, ("Avg", "hardest"))))

"""Seed by seed, from the same scores as table 1."""

from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.measured import read_scores
from tokenspectrum.results.singly import singly, vocabulary, weights_of
from tokenspectrum.results.tables import Tables


def compute(tables: Tables, given: Given) -> Answer:
    """The base policy, then the methods; each replicate in the order of params."""
    params, benchmarks = given["analysis.table1"], given["prompts.benchmarks"]
    scores = read_scores(tables, [b.name for b in benchmarks], params.last_checkpoints)
    size = weights_of(given["policy"], vocabulary(tables))
    return Answer(list(singly(scores, given.methods, given.replicates, benchmarks, params.reference, size)))

"""Differences by benchmark, from the same scores and tests as table 1."""

from tokenspectrum.results.comparison import compare
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.measured import read_scores
from tokenspectrum.results.tables import Tables


def compute(tables: Tables, given: Given) -> Answer:
    """Every method against the reference, then the contrasts of table 1; benchmarks in their order."""
    params, benchmarks = given["analysis.table1"], given["prompts.benchmarks"]
    scores = read_scores(tables, [b.name for b in benchmarks], params.last_checkpoints)
    pairs = [(method, params.reference) for method in given.methods if method != params.reference]
    pairs += [pair for pair in params.contrasts if set(pair) <= set(given.methods)]
    rows = []
    for method, other in pairs:
        for benchmark in benchmarks:
            found = compare(scores, method, other, given.replicates, params, [benchmark.name])
            if found.difference is None:
                continue
            test = found.test
            rows.append(
                {
                    "method": method,
                    "against": other,
                    "benchmark": benchmark.heading,
                    "problems": len(scores.accuracy[method, given.seeds[0]][benchmark.name]),
                    "n": len(given.replicates),
                    "bases": len(found.by_base or ()),
                    "difference": found.difference,
                    "sd": None if test is None else test.sd,
                    "ci_low": None if test is None else test.low,
                    "ci_high": None if test is None else test.high,
                    "p": None if test is None else test.p,
                    "p_flip": found.flip,
                    "mdd": found.mdd,
                    "bases_above": found.above,
                    "sign": found.sign,
                }
            )
    return Answer(rows)

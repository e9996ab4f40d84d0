"""Every replicate of every method on its own: accuracy on each benchmark, Avg, and its difference from the reference.

A pair is two methods under one training seed on one base policy.  No test stands here: those over replicates are in
table 1.
"""

from tokenspectrum.results.benchmarks import BenchmarkNames
from tokenspectrum.results.declare import Result
from tokenspectrum.results.options import AskedOfTable1
from tokenspectrum.results.seed_columns import SEED_COLUMNS

RESULT = Result(
    __name__,
    title="seed by seed",
    question="What did each single training come to?",
    reads=("evaluate", "evaluate_base", "vocab"),
    columns=SEED_COLUMNS,
    others={"analysis.table1": AskedOfTable1, "prompts.benchmarks": BenchmarkNames},
    overturned="A mean difference that one replicate makes alone.",
)

"""The difference of each method from another on each benchmark, over replicates.

The test is the paired t-test over replicates, as in table 1.  No interval takes problems for independent draws of a
normal distribution: a benchmark of 30 problems gets the same interval over replicates as one of 5,000.  The p-values
are not adjusted: a row of Avg is in table 1, with Holm.
"""

from tokenspectrum.results.benchmarks import BenchmarkNames
from tokenspectrum.results.declare import Column, Result
from tokenspectrum.results.options import AskedOfTable1

RESULT = Result(
    __name__,
    title="differences by benchmark",
    question="On which benchmark does a method differ from another, and on how many base policies?",
    reads=("evaluate", "evaluate_base"),
    columns=(
        Column("method", str, "the method"),
        Column("against", str, "the method that is subtracted"),
        Column("benchmark", str, "the benchmark; stand-ins are marked"),
        Column("problems", int, "its problems"),
        Column("n", int, "replicates"),
        Column("bases", int, "base policies that they train"),
        Column("difference", float, "difference of accuracy, points, mean over replicates"),
        Column(
            "sd", float, "standard deviation of the paired differences over replicates, points; empty if all are equal"
        ),
        Column("ci_low", float, "t interval over replicates, lower end"),
        Column("ci_high", float, "the same, upper end"),
        Column("p", float, "two-sided p-value of the paired t-test, not adjusted"),
        Column("p_flip", float, "exact two-sided p-value of the sign-flip test"),
        Column("mdd", float, "smallest true difference that the t-test finds with the power of table 1, points"),
        Column("bases_above", int, "base policies on which the difference is above 0"),
        Column("sign", str, "its sign between base policies: same, differs, or unclear; empty with one, or if all 0"),
    ),
    others={"analysis.table1": AskedOfTable1, "prompts.benchmarks": BenchmarkNames},
    overturned="An interval that includes 0 shows no difference there; its mdd says what it could have shown.",
)

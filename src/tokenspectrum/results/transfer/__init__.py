"""The gain of a method on several policies: this preset's, and those of other presets whose numbers lie in a folder.

A preset is one family of policies, so another policy is another preset: it is run, and its `results/seeds.csv` is put
into the folder under the preset's name.  Each policy has a row for Avg and one for its hardest benchmark, which is that
on which its base policies are worst.  The test is the paired t-test over the policy's own replicates; the p-values are
adjusted by Holm's method over the policies.
"""

from tokenspectrum.results.benchmarks import BenchmarkNames
from tokenspectrum.results.declare import Result
from tokenspectrum.results.options import AskedOfTable1
from tokenspectrum.results.policies_declared import COLUMNS, PoliciesParams, lacking


class TransferParams(PoliciesParams):
    """`results/transfer`: the method whose gain is compared, and where other presets' numbers lie."""


RESULT = Result(
    __name__,
    title="transfer",
    question="Does the gain hold on other policies?",
    reads=("evaluate", "evaluate_base", "vocab"),
    columns=COLUMNS,
    params=TransferParams,
    others={"analysis.table1": AskedOfTable1, "prompts.benchmarks": BenchmarkNames},
    folder="folder",
    lacks=lacking("transfer"),
    overturned="A policy on which the sign is the other one, with an interval that does not reach 0.",
)

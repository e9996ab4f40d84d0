"""What training on the tokens of highest predictive entropy gives over all tokens, by the size of the policy.

The policies are those of this preset and of others, as in the result `transfer`: each has been run as a preset of its
own, and its `results/seeds.csv` lies in the folder.  Put only presets there that differ in nothing but the policy.
"""

from pydantic import Field

from tokenspectrum.results.benchmarks import BenchmarkNames
from tokenspectrum.results.declare import Result
from tokenspectrum.results.options import AskedOfTable1
from tokenspectrum.results.policies_declared import COLUMNS, PoliciesParams, lacking


class ScalingParams(PoliciesParams):
    """`results/scaling`: the methods that are compared, and where other presets' numbers lie."""

    methods: tuple[str, ...] = Field(
        default=("full", "pred_high20"), min_length=2, description="the reference first, then what is set against it"
    )


RESULT = Result(
    __name__,
    title="scaling",
    question="Does the advantage of the forking tokens grow with the size of the policy?",
    reads=("evaluate", "evaluate_base", "vocab"),
    columns=COLUMNS,
    params=ScalingParams,
    others={"analysis.table1": AskedOfTable1, "prompts.benchmarks": BenchmarkNames},
    folder="folder",
    lacks=lacking("scaling"),
    overturned="A difference that is no larger on the larger policy.",
)

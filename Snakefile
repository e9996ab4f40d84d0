# Snakemake executes, DVC remembers: dvc.yaml says what each stage reads and makes, workflow/resources.yaml what a job takes.
#
#     snakemake --profile local results/table1.csv      on this machine
#     snakemake --profile slurm results/table1.csv      as Slurm jobs
import sys

from snakemake.utils import min_version

from snakedvc.planning.snake import RULES, open_stages
from tokenspectrum.cli.failures import lines
from tokenspectrum.errors import UserError

# The results' declarations are read by these imports.  A mistake in one is a line.
try:
    from tokenspectrum.cli.ended import say_what_was_made
    from tokenspectrum.cli.jobs import needs
    from tokenspectrum.params.root import load_params
    from tokenspectrum.results.discover import results
    from tokenspectrum.results.dvcfile import check_stages
    from tokenspectrum.results.lacking import refused
    from tokenspectrum.results.report import FOLDER, write_report
    from tokenspectrum.systems.fit import unfit
except UserError as e:
    sys.exit(lines(str(e)))

min_version("9.0")

# Results and the whole params.yaml are checked before anything is planned: a mistake is one line.
try:
    check_stages(results())
    params = load_params()
except UserError as e:
    sys.exit(lines(str(e)))
# A result that these params lack something for is left out, and refused if it is asked for by name.
missing = refused(results(), params)
made = {name: result for name, result in results().items() if name not in missing}
try:
    reported = write_report(made, params) if workflow.is_main_process else {}
except UserError as e:
    sys.exit(lines(str(e)))
stages = open_stages(
    workflow, needs, missing, say_what_was_made, reported, FOLDER / "landing.rst"
)


# One rule for every stage of dvc.yaml.
include: RULES


onstart:
    # What this machine lacks is said before the first job, not hours later.
    jobs = {job.rule.name for job in workflow.dag.needrun_jobs()}
    if problems := list(
        unfit(params, jobs, here=not workflow.remote_exec and workflow.local_exec)
    ):
        sys.exit("\n".join(f"error: {problem}" for problem in problems))


rule all:
    default_target: True
    input:
        stages.outputs_under("results"),
    localrule: True
    message:
        "all results"

# Snakemake executes, DVC remembers: dvc.yaml says what each stage reads and makes, the rules say how it is run.
#
#     snakemake --profile local results/table1.csv      on this machine
#     snakemake --profile slurm results/table1.csv      as Slurm jobs
from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/params.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/prompts.smk"
include: "workflow/rules/policy.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/results.smk"


# Seconds of work on small files: not worth a job of their own.  Prompts may be fetched, which takes internet.
localrules:
    all,
    prompts,
    weights,
    table1,
    curves,


rule all:
    default_target: True
    input:
        stages.all_outputs("table1"),
        stages.all_outputs("curves"),
        stages.all_outputs("layers"),
    message:
        "all results"

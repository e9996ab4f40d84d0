# Accuracy of trained policies and of the base policy.
from tokenspectrum.systems.resources import cluster_resources


rule evaluate:
    input:
        stages.inputs("evaluate"),
    output:
        stages.outputs("evaluate"),
    log:
        "logs/evaluate/evaluate@{method}-{seed}/output.log",
    benchmark:
        "logs/evaluate/evaluate@{method}-{seed}/benchmark.tsv"
    conda:
        "../envs/stages.yaml"
    threads: THREADS
    resources:
        **cluster_resources("evaluate", stages.pipeline.params),
        mem_mb=8000,
        runtime=240,
    params:
        addr=stages.addr("evaluate"),
        sig=stages.sig("evaluate"),
    message:
        "evaluate {wildcards.method}, seed {wildcards.seed}"
    shell:
        RUN


rule evaluate_base:
    input:
        stages.inputs("evaluate_base"),
    output:
        stages.outputs("evaluate_base"),
    log:
        "logs/evaluate_base/evaluate_base@{seed}/output.log",
    benchmark:
        "logs/evaluate_base/evaluate_base@{seed}/benchmark.tsv"
    conda:
        "../envs/stages.yaml"
    threads: THREADS
    resources:
        **cluster_resources("evaluate_base", stages.pipeline.params),
        mem_mb=8000,
        runtime=240,
    params:
        addr=stages.addr("evaluate_base"),
        sig=stages.sig("evaluate_base"),
    message:
        "evaluate the base policy, seed {wildcards.seed}"
    shell:
        RUN

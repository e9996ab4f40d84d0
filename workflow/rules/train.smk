# Training: by far the longest stage, so it goes first whenever there is a choice.
from tokenspectrum.systems.resources import cluster_resources


rule train:
    input:
        stages.inputs("train"),
    output:
        stages.outputs("train"),
    log:
        "logs/train/train@{method}-{seed}/output.log",
    benchmark:
        "logs/train/train@{method}-{seed}/benchmark.tsv"
    priority: 10
    conda:
        "../envs/stages.yaml"
    threads: THREADS
    resources:
        **cluster_resources("train", stages.pipeline.params),
        mem_mb=8000,
        runtime=1440,
    params:
        addr=stages.addr("train"),
        sig=stages.sig("train"),
    message:
        "train {wildcards.method}, seed {wildcards.seed}"
    shell:
        RUN

# Training: by far the longest stage, so it goes first whenever there is a choice.


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
        mem_mb=8000,
        runtime=1440,
    params:
        addr=stages.addr("train"),
        sig=stages.sig("train"),
    message:
        "train {wildcards.method}, seed {wildcards.seed}"
    shell:
        RUN

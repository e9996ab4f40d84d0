# What each method's rule comes to.


rule weights:
    input:
        stages.inputs("weights"),
    output:
        stages.outputs("weights"),
    log:
        "logs/weights/weights@{method}/output.log",
    benchmark:
        "logs/weights/weights@{method}/benchmark.tsv"
    priority: 20
    conda:
        "../envs/stages.yaml"
    threads: THREADS
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        addr=stages.addr("weights"),
        sig=stages.sig("weights"),
    message:
        "rule of {wildcards.method}"
    shell:
        RUN

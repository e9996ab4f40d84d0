# Results: small, and all but layers run where Snakemake runs.


rule table1:
    input:
        stages.inputs("table1"),
    output:
        stages.outputs("table1"),
    log:
        "logs/table1/table1/output.log",
    benchmark:
        "logs/table1/table1/benchmark.tsv"
    conda:
        "../envs/stages.yaml"
    threads: THREADS
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        addr=stages.addr("table1"),
        sig=stages.sig("table1"),
    message:
        "table 1"
    shell:
        RUN


rule curves:
    input:
        stages.inputs("curves"),
    output:
        stages.outputs("curves"),
    log:
        "logs/curves/curves/output.log",
    benchmark:
        "logs/curves/curves/benchmark.tsv"
    conda:
        "../envs/stages.yaml"
    threads: THREADS
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        addr=stages.addr("curves"),
        sig=stages.sig("curves"),
    message:
        "training curves"
    shell:
        RUN


rule layers:
    input:
        stages.inputs("layers"),
    output:
        stages.outputs("layers"),
    log:
        "logs/layers/layers/output.log",
    benchmark:
        "logs/layers/layers/benchmark.tsv"
    conda:
        "../envs/stages.yaml"
    threads: THREADS
    resources:
        mem_mb=16000,
        runtime=60,
    params:
        addr=stages.addr("layers"),
        sig=stages.sig("layers"),
    message:
        "agreement of layers"
    shell:
        RUN

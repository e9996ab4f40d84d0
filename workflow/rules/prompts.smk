# Problems: the synthetic source is made here, others are read or fetched.


rule prompts:
    input:
        stages.inputs("prompts"),
    output:
        stages.outputs("prompts"),
    log:
        "logs/prompts/prompts/output.log",
    benchmark:
        "logs/prompts/prompts/benchmark.tsv"
    conda:
        "../envs/stages.yaml"
    threads: THREADS
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        addr=stages.addr("prompts"),
        sig=stages.sig("prompts"),
    message:
        "problems"
    shell:
        RUN

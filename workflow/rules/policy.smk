# The base policy and the probe: its responses, their rewards and the scores of their tokens.
from tokenspectrum.systems.resources import cluster_resources

if stages.pipeline.params["policy"]["kind"] == "hub":

    # Fetched on the login node: compute nodes may have no internet.
    localrules:
        policy,


rule policy:
    input:
        stages.inputs("policy"),
    output:
        stages.outputs("policy"),
    log:
        "logs/policy/policy/output.log",
    benchmark:
        "logs/policy/policy/benchmark.tsv"
    conda:
        "../envs/stages.yaml"
    threads: THREADS
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        addr=stages.addr("policy"),
        sig=stages.sig("policy"),
    message:
        "base policy"
    shell:
        RUN


rule sample:
    input:
        stages.inputs("sample"),
    output:
        stages.outputs("sample"),
    log:
        "logs/sample/sample@{shard}/output.log",
    benchmark:
        "logs/sample/sample@{shard}/benchmark.tsv"
    conda:
        "../envs/stages.yaml"
    threads: THREADS
    resources:
        **cluster_resources("sample", stages.pipeline.params),
        mem_mb=8000,
        runtime=120,
    params:
        addr=stages.addr("sample"),
        sig=stages.sig("sample"),
    message:
        "responses of the base policy, shard {wildcards.shard}"
    shell:
        RUN


rule rollouts:
    input:
        stages.inputs("rollouts"),
    output:
        stages.outputs("rollouts"),
    log:
        "logs/rollouts/rollouts/output.log",
    benchmark:
        "logs/rollouts/rollouts/benchmark.tsv"
    conda:
        "../envs/stages.yaml"
    threads: THREADS
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        addr=stages.addr("rollouts"),
        sig=stages.sig("rollouts"),
    message:
        "responses of the base policy, judged"
    shell:
        RUN


rule tokens:
    input:
        stages.inputs("tokens"),
    output:
        stages.outputs("tokens"),
    log:
        "logs/tokens/tokens/output.log",
    benchmark:
        "logs/tokens/tokens/benchmark.tsv"
    conda:
        "../envs/stages.yaml"
    threads: THREADS
    resources:
        **cluster_resources("tokens", stages.pipeline.params),
        mem_mb=8000,
        runtime=120,
    params:
        addr=stages.addr("tokens"),
        sig=stages.sig("tokens"),
    message:
        "scores of the base policy's tokens"
    shell:
        RUN

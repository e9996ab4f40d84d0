# One rule for every stage of dvc.yaml.  To include in a Snakefile, after `stages` is there (snake.py):
#
#     stages = open_stages(workflow)
#     include: RULES
#
# The command runs or restores one stage.  exec: no shell in between, which a signal would end before the stage has
# written its checkpoint.
from snakedvc.dvcfiles.records import fold
from snakedvc.planning.ended import end_in_one_line, say_if_interrupted

end_in_one_line()


if stages.landing:

    report: stages.landing


wildcard_constraints:
    **stages.constraints(),


for job in stages.jobs():

    rule:
        name:
            job.name
        input:
            stages.inputs(job.name),
        output:
            stages.outputs(job.name),
        log:
            job.log,
        benchmark:
            job.benchmark
        priority: job.priority
        localrule: job.local
        conda:
            job.conda
        threads: job.threads
        resources:
            **job.resources,
        params:
            addr=stages.addr(job.name),
            sig=stages.sig(job.name),
        message:
            job.message
        shell:
            "exec python -m snakedvc.running {params.addr} --log {log}"


onsuccess:
    fold()
    stages.say_what_was_made()


onerror:
    fold()
    say_if_interrupted()

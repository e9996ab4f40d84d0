# Sourced by every job on its first node, before the stage starts there (`precommand` in profile.yaml).  POSIX sh.

# --- The site's environment -----------------------------------------------------------------------------------------
# A job inherits the environment of the shell that started Snakemake.  What has to be set up anew on a node goes here:
#
#     module load cuda/12.8
#     export HF_HUB_OFFLINE=1        # compute nodes without internet
#     export TMPDIR=/local/$SLURM_JOB_ID

# --- What follows is the same on every site -------------------------------------------------------------------------
# The batch shell stays as the stage's guard.  `--signal=B:TERM@300` (profile.yaml) signals it and nothing else ahead of
# the time limit; it passes that on to the stage's runner, which has training write a checkpoint and requeues the job.
# The stage itself is started once, in the batch step: what the job step plugin would do is start Snakemake a second
# time below `srun -n1`, which takes seconds and gives a stage no more than the batch step has.
if [ "${SNAKEDVC_JOB:-}" = "${SLURM_JOB_ID:-none}" ]; then
    trap : TERM # Slurm may signal every process of a job: this shell waits for the stage, which ends when it can
elif [ -n "${SLURM_JOB_ID:-}" ] && [ -r "$0" ]; then
    export SNAKEDVC_JOB="$SLURM_JOB_ID"
    export SNAKEDVC_PID="${TMPDIR:-/tmp}/snakedvc-$SLURM_JOB_ID.pid"
    python -m snakedvc.site.jobscript "$0" >"$SNAKEDVC_PID.sh" || exit
    trap 'kill -TERM "$(cat "$SNAKEDVC_PID" 2>/dev/null)" 2>/dev/null' TERM
    sh "$SNAKEDVC_PID.sh" &
    stage=$!
    # A signal that was trapped ends `wait` early.
    while wait "$stage"; status=$?; kill -0 "$stage" 2>/dev/null; do :; done
    rm -f "$SNAKEDVC_PID" "$SNAKEDVC_PID.sh"
    exit "$status"
fi

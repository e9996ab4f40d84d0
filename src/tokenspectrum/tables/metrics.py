"""metrics: a row is a training step.  Means are over the responses or valid tokens of its rollout batch."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step"),
    [
        column("loss", pa.float64(), "mean over mini-batches of sum w l / D"),
        column("s_m", pa.list_(pa.float64()), "per mini-batch S_m = -sum(w A) / D_m, at ratio 1"),
        column("reward", pa.float64(), "mean reward, overlong penalty included"),
        column("reward_raw", pa.float64(), "mean reward without the overlong penalty"),
        column("accuracy", pa.float64(), "fraction of responses that are correct"),
        column("boxed", pa.float64(), "fraction of responses with a boxed answer"),
        column("length", pa.float64(), "mean response tokens"),
        column("truncated", pa.float64(), "fraction of responses cut off at the limit"),
        column("predictive_entropy", pa.float64(), "mean over tokens, nats"),
        column(
            "attention_entropy",
            pa.float64(),
            "mean normalised entropy at the first logged layer, null without one",
            nullable=True,
        ),
        column("grad_norm", pa.list_(pa.float64()), "per mini-batch, before clipping; null where the step was skipped"),
        column("clip_fraction", pa.float64(), "fraction of valid tokens whose ratio left the clip range"),
        column("kept_fraction", pa.float64(), "tokens with a positive weight over valid tokens"),
        column(
            "score_at_cut", pa.float64(), "score of the last token kept, null where the rule has no cut", nullable=True
        ),
        column("mean_weight", pa.float64(), "mean weight of the valid tokens"),
        column("effective_sample_size", pa.float64(), "(sum w)^2 / sum w^2 over the rollout batch, tokens"),
        column("sampling_k1", pa.float64(), "KL of the trainer's policy from the sampler's, mean of -ln r, nats"),
        column("sampling_k3", pa.float64(), "the same as mean of r - 1 - ln r, which is never below 0, nats"),
        column("sampling_ratio_p01", pa.float64(), "1st percentile of r, the trainer's probability over the sampler's"),
        column("sampling_ratio_p99", pa.float64(), "99th percentile of r"),
        column("sampling_gap_max", pa.float64(), "largest absolute ln r of a token, nats"),
        column("skipped", pa.int32(), "mini-batches without a step because D was 0"),
        column("lr", pa.float64(), "learning rate of the step"),
        column(
            "generated_groups",
            pa.int32(),
            "prompts sampled for the step; under dynamic sampling more than are trained on",
            nullable=True,
        ),
        column("kept_groups", pa.int32(), "prompts trained on whose responses do not all earn the same", nullable=True),
        column(
            "realised",
            pa.string(),
            "what the rule itself came to, by name, as JSON text: for instance the ramp of a curriculum; numbers are "
            "means over mini-batches where it weighs each by itself",
        ),
    ],
)

-- Every problem of every run and seed: mean over samples, and their variance.  A sample's value is its mean over the last
-- $checkpoints evaluated steps, which draw it under the same seed.
-- Beside each the same of its paired difference from the reference: sample k of one less sample k of the other.
WITH last AS (
    SELECT *, dense_rank() OVER (PARTITION BY run, seed ORDER BY step DESC) AS age FROM scores
),
valued AS (
    SELECT run, seed, benchmark, prompt_id, sample, avg(correct::INTEGER) AS value, count(*) AS checkpoints
    FROM last
    WHERE age <= $checkpoints
    GROUP BY ALL
),
paired AS (
    SELECT v.*, v.value - r.value AS difference
    FROM valued AS v
    LEFT JOIN valued AS r
        ON r.run = $reference AND r.seed = v.seed AND r.benchmark = v.benchmark AND r.prompt_id = v.prompt_id
        AND r.sample = v.sample
)
SELECT
    run, seed, benchmark, prompt_id,
    count(*) AS samples,
    min(checkpoints) AS checkpoints,
    avg(value ORDER BY sample) AS accuracy,
    var_samp(value ORDER BY sample) AS sample_variance,
    avg(difference ORDER BY sample) AS difference,
    var_samp(difference ORDER BY sample) AS difference_variance
FROM paired
GROUP BY run, seed, benchmark, prompt_id
ORDER BY run, seed, benchmark, prompt_id;

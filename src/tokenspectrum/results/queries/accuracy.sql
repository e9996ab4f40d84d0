-- Accuracy of every run, seed and problem: mean over samples, then over the last $checkpoints evaluated steps.
WITH aged AS (
    SELECT *, dense_rank() OVER (PARTITION BY run, seed ORDER BY step DESC) AS age FROM scores
),
by_step AS (
    SELECT
        run, seed, step, benchmark, prompt_id,
        avg(correct::INTEGER) AS accuracy,
        count(*) AS samples,
        sum(correct::INTEGER) AS n_right,
        sum((correct <> correct_alt)::INTEGER) AS disagreements
    FROM aged
    WHERE age <= $checkpoints
    GROUP BY ALL
)
SELECT
    run, seed, benchmark, prompt_id,
    avg(accuracy ORDER BY step) AS accuracy,
    min(samples) AS fewest,
    max(samples) AS most,
    count(*) AS checkpoints,
    sum(n_right)::BIGINT AS n_right,
    sum(disagreements)::BIGINT AS disagreements
FROM by_step
GROUP BY run, seed, benchmark, prompt_id
ORDER BY run, seed, benchmark, prompt_id;

-- Accuracy of every run and seed at each evaluated step: mean over samples of a problem, then over problems.
WITH problems AS (
    SELECT run, seed, step, benchmark, prompt_id, avg(correct::INTEGER) AS accuracy
    FROM scores
    GROUP BY ALL
)
SELECT run, seed, step, benchmark, avg(accuracy ORDER BY prompt_id) AS accuracy
FROM problems
GROUP BY run, seed, step, benchmark
ORDER BY run, seed, step, benchmark;

-- Avg in percent of every run and seed at its last evaluated step: mean over samples, problems, then benchmarks.
WITH last AS (
    SELECT *, dense_rank() OVER (PARTITION BY run, seed ORDER BY step DESC) AS age FROM scores
),
by_problem AS (
    SELECT run, seed, benchmark, prompt_id, avg(correct::INTEGER) AS accuracy
    FROM last
    WHERE age = 1
    GROUP BY ALL
),
by_benchmark AS (
    SELECT run, seed, benchmark, avg(accuracy ORDER BY prompt_id) AS accuracy FROM by_problem GROUP BY ALL
)
SELECT run, seed, 100 * avg(accuracy ORDER BY benchmark) AS average
FROM by_benchmark
GROUP BY run, seed
ORDER BY run, seed;

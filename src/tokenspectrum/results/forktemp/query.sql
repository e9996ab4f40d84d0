-- Accuracy of each problem under each setting.
SELECT
    seed AS base, heated, temperature, benchmark, prompt_id,
    any_value(threshold) AS threshold,
    100 * avg(correct::INTEGER) AS accuracy,
    avg(n_tokens) AS length,
    count(*) AS samples
FROM hot_forks
GROUP BY seed, heated, temperature, benchmark, prompt_id
ORDER BY seed, heated, temperature, benchmark, prompt_id;

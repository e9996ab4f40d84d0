-- What was measured with random masks, and q: the mean square of token gradients over T |g|^2, from random signs.
WITH signs AS (
    SELECT
        run, seed, step,
        avg(error ORDER BY draw) AS q,
        stddev_samp(error ORDER BY draw) / sqrt(count(error)) AS q_se
    FROM sparse_gradients
    WHERE estimator = 'signs'
    GROUP BY run, seed, step
)
SELECT
    run, seed, step, p, estimator,
    any_value(batch) AS batch,
    count(error) AS draws,
    avg(error ORDER BY draw) AS measured,
    stddev_samp(error ORDER BY draw) AS sd,
    avg(cosine ORDER BY draw) AS cosine,
    any_value(q) AS q,
    any_value(q_se) AS q_se
FROM sparse_gradients
JOIN signs USING (run, seed, step)
WHERE estimator <> 'signs'
GROUP BY run, seed, step, p, estimator
ORDER BY if(run = 'base', '', run), seed, step, p, estimator;

-- Every metric of every method and step over its replicates.  Of a norm a mini-batch: the mean of those that stepped.
SELECT
    run AS method,
    metric,
    step,
    count(*) AS n,
    avg(value ORDER BY seed) AS mean,
    stddev_samp(value ORDER BY seed) AS sd,
    min(value) AS low,
    max(value) AS high
FROM (
    UNPIVOT (SELECT * REPLACE (list_avg(grad_norm) AS grad_norm) FROM metrics)
    ON COLUMNS(lambda name: list_contains($metrics, name))
    INTO NAME metric VALUE value
)
GROUP BY run, metric, step
ORDER BY list_position($methods, run), list_position($metrics, metric), step;

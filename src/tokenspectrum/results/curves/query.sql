-- Every metric of every method and step over its replicates.
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
    UNPIVOT metrics
    ON COLUMNS(lambda name: list_contains($metrics, name))
    INTO NAME metric VALUE value
)
GROUP BY run, metric, step
ORDER BY list_position($methods, run), list_position($metrics, metric), step;

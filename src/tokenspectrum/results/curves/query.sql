-- Every metric of every method and step over its seeds.
SELECT
    run,
    metric,
    step,
    count(*) AS n,
    avg(value ORDER BY seed) AS mean,
    stddev_samp(value ORDER BY seed) AS sd,
    min(value) AS low,
    max(value) AS high
FROM (
    UNPIVOT metrics
    ON reward, accuracy, length, predictive_entropy, attention_entropy, kept_fraction, clip_fraction, loss
    INTO NAME metric VALUE value
)
WHERE list_contains($metrics, metric)
GROUP BY run, metric, step
ORDER BY list_position($runs, run), list_position($metrics, metric), step;

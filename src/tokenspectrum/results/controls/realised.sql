-- What each rule came to in training: the mean over a run's steps of what every rule has, and of what some have.
WITH steps AS (
    SELECT
        run, seed, step, kept_fraction, mean_weight,
        json_extract(realised, '$.overlap')::DOUBLE AS overlap,
        json_extract(realised, '$.at_floor')::DOUBLE AS at_floor
    FROM metrics
)
SELECT run, seed, metric, avg(value ORDER BY step) AS value
FROM (UNPIVOT steps ON kept_fraction, mean_weight, overlap, at_floor INTO NAME metric VALUE value)
GROUP BY run, seed, metric
ORDER BY run, metric, seed;

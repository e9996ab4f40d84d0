-- Every value of the named metrics: of each run, seed and step.  A norm a mini-batch is the mean over those that stepped.
SELECT run, seed, metric, step, value
FROM (
    UNPIVOT (SELECT * REPLACE (list_avg(grad_norm) AS grad_norm) FROM metrics)
    ON COLUMNS(lambda name: list_contains($metrics, name))
    INTO NAME metric VALUE value
)
ORDER BY run, metric, step, seed;

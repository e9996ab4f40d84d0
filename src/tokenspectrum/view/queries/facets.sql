SELECT run, seed, list(DISTINCT step ORDER BY step) AS steps, count(*) AS responses
FROM responses
GROUP BY run, seed
ORDER BY run <> 'base', run, seed

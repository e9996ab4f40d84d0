-- Geometry of every named subset at every probe step, and the cosine's spread over a run's probe steps so far.
SELECT
    run, seed, step, subset, denominator, layer, tokens, norm_ratio, cosine, proj_ratio,
    count(cosine) OVER so_far AS probes,
    avg(cosine) OVER so_far AS online_mean,
    stddev_samp(cosine) OVER so_far AS online_std,
    stddev_samp(cosine) OVER so_far / nullif(abs(avg(cosine) OVER so_far), 0) AS online_cv
FROM gradients
WHERE NOT regexp_matches(subset, '^(decile[0-9]|(anchors|explorers)_l[0-9]+)$')
WINDOW so_far AS (PARTITION BY run, seed, subset, denominator ORDER BY step ROWS UNBOUNDED PRECEDING)
ORDER BY if(run = 'base', '', run), seed, step, subset <> 'full', subset, denominator;

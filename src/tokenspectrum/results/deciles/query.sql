-- Proj ratio of ten deciles and of three bands of them.
WITH ten AS (
    SELECT
        run, seed, step, layer, right(subset, 1)::INTEGER AS decile, tokens, proj_ratio
    FROM gradients
    WHERE regexp_matches(subset, '^decile[0-9]$') AND denominator = 'all'
),
banded AS (
    SELECT run, seed, step, layer, 'D' || decile AS band, 'decile' AS kind, decile AS place, tokens, proj_ratio FROM ten
    UNION ALL
    SELECT
        run, seed, step, layer,
        CASE WHEN decile <= 2 THEN 'D0-2' WHEN decile <= 6 THEN 'D3-6' ELSE 'D7-9' END AS band,
        'band', 10 + min(decile), sum(tokens ORDER BY decile),
        -- A sum with a missing part is missing.
        if(count(proj_ratio) = count(*), sum(proj_ratio ORDER BY decile), NULL)
    FROM ten
    GROUP BY run, seed, step, layer, band
)
SELECT
    run, seed, step, layer, band,
    100 * tokens / sum(tokens) OVER (PARTITION BY run, seed, step, kind) AS tokens,
    proj_ratio,
    if(proj_ratio IS NULL, NULL, rank() OVER (
        PARTITION BY run, seed, step, kind ORDER BY proj_ratio DESC NULLS LAST
    )) AS rank
FROM banded
ORDER BY if(run = 'base', '', run), seed, step, place;

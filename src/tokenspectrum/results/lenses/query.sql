-- Five signals of each token that was looked at.
SELECT
    l.seed AS base, a.layer, l.response_id, l.position,
    -- A hash of its place decides ties.
    md5(l.response_id || '/' || l.position) AS turn,
    a.entropy_norm::DOUBLE AS attention,
    t.predictive_entropy::DOUBLE AS predictive,
    l.information, l.importance, l.variance
FROM signals AS l
JOIN attention AS a USING (seed, response_id, position)
JOIN tokens AS t USING (seed, response_id, position)
WHERE a.layer = $layer
ORDER BY l.seed, l.response_id, l.position;

-- What some responses' tokens are like at a layer, and the score that ranks them.
SELECT
    response_id, position,
    CASE $score WHEN 'entropy_norm' THEN entropy_norm WHEN 'entropy_raw' THEN entropy_raw
        ELSE error('layers: score is entropy_norm or entropy_raw') END AS value,
    support_80, distance, local_mass
FROM attention
WHERE seed = $base AND layer = $layer AND response_id BETWEEN $first AND $last;

-- Means over responses of each statistic, for each base policy, layer, score and part.
SELECT
    base, layer, score, part, statistic,
    avg(value ORDER BY response_id) AS mean,
    stddev_samp(value ORDER BY response_id) AS sd,
    count(*) AS responses,
    sum(tokens)::BIGINT AS tokens
FROM (
    UNPIVOT by_response
    ON COLUMNS(* EXCLUDE (base, layer, score, part, response_id, tokens)) INTO NAME statistic VALUE value
)
GROUP BY base, layer, score, part, statistic
ORDER BY
    base, layer, list_position(['normalised', 'raw', 'first n', 'top-k'], score),
    list_position(['anchors', 'explorers', 'random', 'all'], part),
    list_position(['50 %', '80 %', '90 %', '95 %', 'distance', 'local mass', 'non-local mass'], statistic);

-- What anchors and explorers by each layer's own score are like: means over responses.
SELECT
    base, layer::VARCHAR AS layer, part, measure,
    avg(value ORDER BY response_id) AS value,
    stddev_samp(value ORDER BY response_id) AS sd,
    count(*) AS responses
FROM by_response
GROUP BY base, by_response.layer, part, measure;

-- Predictive entropy of some responses' tokens.
SELECT response_id, position, predictive_entropy AS value
FROM tokens
WHERE seed = $base AND response_id BETWEEN $first AND $last;

-- Some responses' tokens and their predictive entropy.
SELECT response_id, position, token_id, predictive_entropy AS value
FROM tokens
WHERE seed = $base AND response_id BETWEEN $first AND $last;

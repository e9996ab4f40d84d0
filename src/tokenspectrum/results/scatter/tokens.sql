-- Predictive entropy of every token of a base policy.
SELECT response_id, position, predictive_entropy AS value FROM tokens WHERE seed = $base;

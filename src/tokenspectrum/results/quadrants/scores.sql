-- Normalised attention entropy of some responses' tokens at a layer.
SELECT response_id, position, entropy_norm AS value
FROM attention
WHERE seed = $base AND layer = $layer AND response_id BETWEEN $first AND $last;

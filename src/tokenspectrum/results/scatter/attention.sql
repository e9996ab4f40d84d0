-- Attention entropy of every token of a base policy at a layer.
SELECT response_id, position, entropy_norm AS value FROM attention WHERE seed = $base AND layer = $layer;

-- The chosen responses with what they are sorted by.
keyed AS (
    SELECT
        *,
        CASE $sort
            WHEN 'reward' THEN reward
            WHEN 'length' THEN n_tokens
            WHEN 'advantage' THEN advantage
            WHEN 'step' THEN step
            WHEN 'hits' THEN hits
            ELSE 0
        END::DOUBLE * if($down, -1, 1) AS sort_key
    FROM chosen
)

-- The responses that the page's filters let through.  An empty list or text, and a null bound, let everything through.
matching AS (
    SELECT *
    FROM responses
    WHERE (len($runs::VARCHAR[]) = 0 OR list_contains($runs::VARCHAR[], run))
        AND (len($seeds::INTEGER[]) = 0 OR list_contains($seeds::INTEGER[], seed))
        AND step BETWEEN coalesce($step_from::INTEGER, 0) AND coalesce($step_to::INTEGER, 2147483647)
        AND ($source::VARCHAR = '' OR source = $source)
        AND ($correct::BOOLEAN IS NULL OR correct = $correct)
        -- DuckDB holds NaN above every number.
        AND ($reward_from::DOUBLE IS NULL OR (reward >= $reward_from AND NOT isnan(reward)))
        AND ($reward_to::DOUBLE IS NULL OR reward <= $reward_to)
        AND n_tokens BETWEEN coalesce($length_from::INTEGER, 0) AND coalesce($length_to::INTEGER, 2147483647)
        AND ($text::VARCHAR = '' OR contains(lower(text), lower($text)))
        AND ($prompt::VARCHAR = '' OR prompt_id = $prompt)
)

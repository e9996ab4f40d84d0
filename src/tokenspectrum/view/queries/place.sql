-- Where one response stands among the chosen ones, from 0, in the order of list.sql.
SELECT place
FROM (
    SELECT
        run, seed, step, response_id,
        row_number() OVER (
            ORDER BY
                CASE $sort
                    WHEN 'reward' THEN reward
                    WHEN 'length' THEN n_tokens
                    WHEN 'advantage' THEN advantage
                    WHEN 'step' THEN step
                    WHEN 'hits' THEN hits
                    ELSE 0
                END::DOUBLE * if($down, -1, 1) NULLS LAST,
                run <> 'base', run, seed, step, response_id
        ) - 1 AS place
    FROM chosen
)
WHERE run = $of_run AND seed = $of_seed AND step = $of_step AND response_id = $of_response

-- Where one response stands among the chosen ones, from 0, in the order of list.sql.
SELECT place
FROM (
    SELECT
        run, seed, step, response_id,
        row_number() OVER (ORDER BY sort_key NULLS LAST, run <> 'base', run, seed, step, response_id) - 1 AS place
    FROM keyed
)
WHERE run = $of_run AND seed = $of_seed AND step = $of_step AND response_id = $of_response

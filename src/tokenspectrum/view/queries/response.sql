SELECT * EXCLUDE (r) FROM responses
WHERE run = $run AND seed = $seed AND step = $step AND response_id = $response_id

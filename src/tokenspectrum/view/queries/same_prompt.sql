-- Other responses to the same problem, wherever they are; each row carries how many there are in all.
SELECT run, seed, step, response_id, sample, n_tokens, reward, correct, count(*) OVER () AS all_same
FROM responses
WHERE prompt_id = $prompt
ORDER BY run <> 'base', run, seed, step, sample
LIMIT 5000

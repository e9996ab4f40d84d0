-- Other responses to the same problem, wherever they are.
SELECT run, seed, step, response_id, sample, n_tokens, reward, correct
FROM responses
WHERE prompt_id = $prompt
ORDER BY run <> 'base', run, seed, step, sample
LIMIT 1000

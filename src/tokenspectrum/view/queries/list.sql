-- A page of the chosen responses in order; each row carries the sums over all of them, so that they are found once.
SELECT
    run, seed, step, response_id, prompt_id, source, sample, left(text, 200) AS head, n_prompt, n_tokens, finish_reason,
    answer, reward, reward_raw, correct, advantage, hits,
    count(*) OVER () AS all_responses,
    sum(n_tokens) OVER ()::BIGINT AS all_tokens,
    avg(correct::INTEGER) OVER () AS all_correct
FROM keyed
ORDER BY sort_key NULLS LAST, run <> 'base', run, seed, step, response_id
LIMIT $limit OFFSET $offset

-- For a page past the end, which has no row to carry the sums.
SELECT count(*) AS responses, coalesce(sum(n_tokens), 0)::BIGINT AS tokens, avg(correct::INTEGER) AS correct FROM chosen

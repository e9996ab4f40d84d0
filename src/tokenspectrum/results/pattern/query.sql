-- Of each base policy: the share of tokens that are near certain, the entropy at the quantile, a histogram in half
-- decades (everything below 1e-6 nats in its first bin), and the tokens of lowest and highest mean entropy.
WITH named AS (
    SELECT seed AS base, response_id, token_id, predictive_entropy AS entropy FROM tokens
),
by_response AS (
    SELECT base, response_id, sum((entropy < $certain)::INTEGER) AS certain, count(*) AS tokens
    FROM named
    GROUP BY base, response_id
),
shares AS (
    SELECT *, sum(certain) OVER (PARTITION BY base) / sum(tokens) OVER (PARTITION BY base) AS share FROM by_response
),
-- The standard error takes responses for independent, and not their tokens.
counted AS (
    SELECT
        base, 'near certain' AS what, NULL AS token, NULL AS low, NULL AS high,
        any_value(share) AS value, sum(tokens)::BIGINT AS n, 0 AS place, count(*) AS responses,
        if(
            count(*) > 1,
            sqrt(count(*) / (count(*) - 1) * sum(pow(certain - share * tokens, 2) ORDER BY response_id)) / sum(tokens),
            NULL
        ) AS se
    FROM shares
    GROUP BY base
    UNION ALL
    SELECT base, 'quantile', NULL, NULL, NULL, quantile_cont(entropy, $quantile), count(*), 1, NULL, NULL
    FROM named
    GROUP BY base
),
binned AS (
    SELECT base, floor(2 * log10(greatest(entropy, 1e-6)))::INTEGER AS bin FROM named
),
bins AS (
    SELECT
        base, 'bin' AS what, NULL AS token, pow(10.0, bin / 2.0) AS low, pow(10.0, (bin + 1) / 2.0) AS high,
        count(*) / sum(count(*)) OVER (PARTITION BY base) AS value, count(*) AS n, 1000 + bin AS place
    FROM binned
    GROUP BY base, bin
),
-- Sums are in the order of the file, which is that of responses.  Texts are joined to sums and not to every token.
by_token AS (
    SELECT base, token_id, sum(entropy::DOUBLE) AS total, count(*) AS n FROM named GROUP BY base, token_id
),
means AS (
    SELECT t.base, v.text AS token, sum(t.total ORDER BY t.token_id) / sum(t.n) AS mean, sum(t.n)::BIGINT AS n
    FROM by_token AS t
    JOIN vocab AS v USING (token_id)
    GROUP BY t.base, v.text
    HAVING sum(t.n) >= $occurrences
),
ranked AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY base ORDER BY mean, token) AS lowest,
        row_number() OVER (PARTITION BY base ORDER BY mean DESC, token) AS highest
    FROM means
),
ends AS (
    SELECT base, 'lowest' AS what, token, NULL AS low, NULL AS high, mean AS value, n, 2000 + lowest AS place
    FROM ranked
    WHERE lowest <= $listed
    UNION ALL
    SELECT base, 'highest', token, NULL, NULL, mean, n, 3000 + highest
    FROM ranked
    WHERE highest <= $listed
)
SELECT base, what, token, low, high, value, n, responses, se
FROM (SELECT * FROM counted UNION ALL BY NAME SELECT * FROM bins UNION ALL BY NAME SELECT * FROM ends)
ORDER BY base, place;

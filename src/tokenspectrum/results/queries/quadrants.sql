-- Tokens by predictive and attention entropy, each cut at its quantile `cut` among the tokens of one run, seed and step.
-- High is strictly above the cut.
CREATE MACRO quadrants(layer, cut := 0.5) AS TABLE
WITH joined AS (
    SELECT
        t.run, t.seed, t.step, t.response_id, t.position, t.token_id, t.predictive_entropy, a.entropy_norm,
        quantile_cont(t.predictive_entropy, quantile_or_half(cut)) OVER (PARTITION BY t.run, t.seed, t.step) AS predictive_cut,
        quantile_cont(a.entropy_norm, quantile_or_half(cut)) OVER (PARTITION BY t.run, t.seed, t.step) AS attention_cut
    FROM tokens AS t
    JOIN attention AS a USING (run, seed, step, response_id, position)
    WHERE a.layer = checked_layer(layer) AND checked_cut(cut) IS NOT NULL
)
SELECT
    j.run, j.seed, j.step, j.response_id, j.position, j.token_id, j.predictive_entropy, j.entropy_norm,
    CASE WHEN j.predictive_entropy > j.predictive_cut THEN 'high' ELSE 'low' END AS predictive,
    CASE WHEN j.entropy_norm > j.attention_cut THEN 'high' ELSE 'low' END AS attention,
    'predictive ' || predictive || ', attention ' || attention AS quadrant
FROM joined AS j;

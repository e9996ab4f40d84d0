-- Tokens by predictive and attention entropy, each cut at its quantile `cut` among the tokens of one response; with
-- within := 'step' among those of one run, seed and step.  High is strictly above the cut.
CREATE MACRO quadrants(layer, cut := 0.5, within := 'response') AS TABLE
WITH joined AS (
    SELECT
        t.run, t.seed, t.step, t.response_id, t.position, t.token_id, t.predictive_entropy, a.entropy_norm,
        CASE within WHEN 'response' THEN t.response_id WHEN 'step' THEN NULL
            ELSE error('quadrants: within is response or step') END AS cut_within
    FROM tokens AS t
    JOIN attention AS a USING (run, seed, step, response_id, position)
    WHERE a.layer = checked_layer(layer) AND checked_cut(cut) IS NOT NULL
),
placed AS (
    SELECT
        j.*,
        quantile_cont(j.predictive_entropy, quantile_or_half(cut)) OVER same AS predictive_cut,
        quantile_cont(j.entropy_norm, quantile_or_half(cut)) OVER same AS attention_cut
    FROM joined AS j
    WINDOW same AS (PARTITION BY j.run, j.seed, j.step, j.cut_within)
)
SELECT
    p.run, p.seed, p.step, p.response_id, p.position, p.token_id, p.predictive_entropy, p.entropy_norm,
    CASE WHEN p.predictive_entropy > p.predictive_cut THEN 'high' ELSE 'low' END AS predictive,
    CASE WHEN p.entropy_norm > p.attention_cut THEN 'high' ELSE 'low' END AS attention,
    'predictive ' || predictive || ', attention ' || attention AS quadrant
FROM placed AS p;

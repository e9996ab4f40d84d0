-- Every mini-batch of every logged step, summed anew from the tokens that it trained on, beside what the trainer logged.
-- s_m = -sum(w A) / D before the step's first update (ratio 1); loss = sum(w l) / D at the update, where l is logged.
-- D is the sum of weights or the number of tokens, as the run's rule says; D = 0 means no step, and both are 0.
-- Under train.rollout_is_threshold w stands for w rho, with rho = min(exp(logprob - rollout_logprob), threshold); not in D.
WITH corrected AS (
    SELECT
        t.*,
        CASE WHEN m.threshold IS NULL THEN t.weight::DOUBLE
            ELSE t.weight::DOUBLE * least(exp(t.logprob::DOUBLE - t.rollout_logprob::DOUBLE), m.threshold) END AS factor
    FROM tokens AS t
    LEFT JOIN (
        SELECT run, seed, step, json_extract_string(realised, '$.rollout_is_threshold')::DOUBLE AS threshold FROM metrics
    ) AS m ON m.run = t.run AND m.seed = t.seed AND m.step = t.step
),
summed AS (
    SELECT
        t.run, t.seed, t.step, t.minibatch,
        count(*) AS tokens,
        CASE json_extract_string(any_value(r.rule), '$.denominator')
            WHEN 'selected' THEN sum(t.weight::DOUBLE) ELSE count(*)::DOUBLE END AS total,
        sum(t.factor * t.advantage::DOUBLE) AS weighted_advantage,
        -- null, not 0, as soon as one loss is not logged
        CASE WHEN count(t.loss) = count(*) THEN sum(t.factor * t.loss::DOUBLE) END AS weighted_loss
    FROM corrected AS t
    JOIN runs AS r ON r.run = t.run AND r.seed = t.seed
    WHERE t.minibatch IS NOT NULL
    GROUP BY t.run, t.seed, t.step, t.minibatch
),
logged AS (
    SELECT run, seed, step, unnest(generate_series(0, len(s_m) - 1)) AS minibatch, unnest(s_m) AS s_m, loss
    FROM metrics
)
SELECT
    l.run, l.seed, l.step, l.minibatch,
    s.tokens,
    s.total,
    l.s_m AS s_m_logged,
    CASE WHEN s.total > 0 THEN -s.weighted_advantage / s.total ELSE 0 END AS s_m,
    l.loss AS step_loss_logged,
    avg(CASE WHEN s.total > 0 THEN s.weighted_loss / s.total ELSE 0 END)
        OVER (PARTITION BY l.run, l.seed, l.step) AS step_loss
FROM logged AS l
LEFT JOIN summed AS s ON s.run = l.run AND s.seed = l.seed AND s.step = l.step AND s.minibatch = l.minibatch
ORDER BY l.run, l.seed, l.step, l.minibatch

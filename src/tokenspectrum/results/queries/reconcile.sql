-- Every mini-batch of every logged step, summed anew from the tokens that it trained on, beside what the trainer logged.
-- s_m = -sum(w A) / D before the step's first update (ratio 1); loss = sum(w l) / D at the update, where l is logged.
-- D is the sum of weights or the number of tokens, as the run's rule says; D = 0 means no step, and both are 0.
-- Under train.rollout_is_threshold w stands for w rho, with rho = min(exp(logprob - rollout_logprob), threshold); not in D.
-- Tokens are summed before anything is joined: a log may have a billion, and its steps are few.
WITH summed AS (
    SELECT
        run, seed, step, minibatch,
        count(*) AS tokens,
        sum(weight::DOUBLE) AS weights,
        sum(weight::DOUBLE * advantage::DOUBLE) AS weighted_advantage,
        -- null, not 0, as soon as one loss is not logged
        CASE WHEN count(loss) = count(*) THEN sum(weight::DOUBLE * loss::DOUBLE) END AS weighted_loss
    FROM tokens
    WHERE minibatch IS NOT NULL
    GROUP BY run, seed, step, minibatch
),
threshold AS (
    SELECT * FROM (
        SELECT run, seed, step, json_extract_string(realised, '$.rollout_is_threshold')::DOUBLE AS most FROM metrics
    )
    WHERE most IS NOT NULL
),
-- The same sums with w rho, of the steps that have a threshold.
corrected AS (
    SELECT
        run, seed, step, minibatch,
        sum(factor * advantage::DOUBLE) AS weighted_advantage,
        CASE WHEN count(loss) = count(*) THEN sum(factor * loss::DOUBLE) END AS weighted_loss
    FROM (
        SELECT
            t.run, t.seed, t.step, t.minibatch, t.advantage, t.loss,
            t.weight::DOUBLE * least(exp(t.logprob::DOUBLE - t.rollout_logprob::DOUBLE), m.most) AS factor
        FROM tokens AS t
        JOIN threshold AS m ON m.run = t.run AND m.seed = t.seed AND m.step = t.step
        WHERE t.minibatch IS NOT NULL
    )
    GROUP BY run, seed, step, minibatch
),
total AS (
    SELECT
        s.run, s.seed, s.step, s.minibatch, s.tokens,
        CASE json_extract_string(r.rule, '$.denominator')
            WHEN 'selected' THEN s.weights ELSE s.tokens::DOUBLE END AS total,
        if(c.run IS NULL, s.weighted_advantage, c.weighted_advantage) AS weighted_advantage,
        if(c.run IS NULL, s.weighted_loss, c.weighted_loss) AS weighted_loss
    FROM summed AS s
    JOIN runs AS r ON r.run = s.run AND r.seed = s.seed
    LEFT JOIN corrected AS c
        ON c.run = s.run AND c.seed = s.seed AND c.step = s.step AND c.minibatch = s.minibatch
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
LEFT JOIN total AS s ON s.run = l.run AND s.seed = l.seed AND s.step = l.step AND s.minibatch = l.minibatch
ORDER BY l.run, l.seed, l.step, l.minibatch

-- Each training run's first and last steps, averaged over $window of them (at most half of the run), and the verdict.
WITH numbered AS (
    SELECT
        run, seed, length, reward, step,
        row_number() OVER (PARTITION BY run, seed ORDER BY step) AS place,
        count(*) OVER (PARTITION BY run, seed) AS steps,
        least($window, greatest(1, steps // 2)) AS n
    FROM metrics
),
ends AS (
    SELECT
        run, seed,
        avg(length ORDER BY step) FILTER (WHERE place <= n) AS first_length,
        avg(length ORDER BY step) FILTER (WHERE place > steps - n) AS last_length,
        avg(reward ORDER BY step) FILTER (WHERE place <= n) AS first_reward,
        avg(reward ORDER BY step) FILTER (WHERE place > steps - n) AS last_reward
    FROM numbered
    GROUP BY run, seed
)
SELECT
    *,
    last_length < $length_below * first_length
    OR last_length > $length_above * first_length
    OR first_reward - last_reward > $reward_drop AS collapsed
FROM ends
ORDER BY run, seed;

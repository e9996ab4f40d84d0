-- Both entropies of every token of the probe.
SELECT a.seed AS base, a.layer, a.response_id, a.position, a.entropy_norm AS attention, t.predictive_entropy AS predictive
FROM attention AS a
JOIN tokens AS t USING (seed, response_id, position)
ORDER BY base, a.layer, a.response_id, a.position;

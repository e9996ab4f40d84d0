-- Every scored token at one layer, with its place in its response and the partitions that it falls into.
-- One stable ascending sort by (score, position) within a response: anchors are the first k, explorers the last k.
CREATE MACRO partitions(layer, p, score := 'entropy_norm') AS TABLE
WITH scored AS (
    SELECT
        a.run, a.seed, a.step, a.response_id, a.position,
        CASE score WHEN 'entropy_norm' THEN a.entropy_norm WHEN 'entropy_raw' THEN a.entropy_raw
            ELSE error('partitions: score is entropy_norm or entropy_raw') END AS value
    FROM attention AS a
    WHERE a.layer = checked_layer(layer) AND checked_fraction('p', p) IS NOT NULL
),
ranked AS (
    SELECT
        s.*,
        row_number() OVER (PARTITION BY s.run, s.seed, s.step, s.response_id ORDER BY s.value, s.position) AS place,
        count(*) OVER (PARTITION BY s.run, s.seed, s.step, s.response_id) AS n_tokens
    FROM scored AS s
)
SELECT
    r.run, r.seed, r.step, r.response_id, r.position, r.value, r.place, r.n_tokens,
    r.place <= partition_size(p, r.n_tokens) AS anchor,
    r.place > r.n_tokens - partition_size(p, r.n_tokens) AS explorer
FROM ranked AS r;

CREATE MACRO anchors(layer, p, score := 'entropy_norm') AS TABLE
SELECT * EXCLUDE (anchor, explorer) FROM partitions(layer, p, score := score) WHERE anchor;

CREATE MACRO explorers(layer, p, score := 'entropy_norm') AS TABLE
SELECT * EXCLUDE (anchor, explorer) FROM partitions(layer, p, score := score) WHERE explorer;

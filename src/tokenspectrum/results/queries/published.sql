-- Figures of the ANCHOR paper (arXiv 2605.07660), percent: cited, not measured here.  Its two families of experiments
-- differ in data and set-up, so each figure stands beside the full-token baseline of its own family.
-- Our copy does not name the metric of the selective family's 42.60 against 43.55; it is read as Avg.
SELECT *
FROM (
    VALUES
    ('full', 'all', 'intervention', 34.39, 0.47, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ('random20', 'all', 'selective', 42.60, NULL, NULL, NULL, NULL, 43.55, NULL, NULL, NULL),
    ('explorer20', 'survivors', 'selective', NULL, NULL, NULL, 12.31, 0.53, NULL, NULL, 5.83, 0.89),
    ('pred_high20', 'all', 'intervention', 34.35, NULL, 74.41, 1.84, NULL, 34.39, 0.47, NULL, NULL),
    ('low2high_shallow', 'all', 'intervention', 37.40, NULL, NULL, NULL, NULL, 34.39, 0.47, NULL, NULL),
    ('low2high_mid', 'all', 'intervention', 37.15, 0.77, NULL, NULL, NULL, 34.39, 0.47, NULL, NULL)
) AS cited (
    method, replicates, published_family,
    published_avg, published_avg_sd, published_math, published_aime, published_aime_sd,
    published_full_avg, published_full_avg_sd, published_full_aime, published_full_aime_sd
);

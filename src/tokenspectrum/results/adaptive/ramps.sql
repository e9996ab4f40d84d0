-- r of every curriculum at each step, and why it stands there where the rule says so.
SELECT
    run, seed, step,
    json_extract(realised, '$.ramp')::DOUBLE AS ramp,
    json_extract_string(realised, '$.reason') AS reason
FROM metrics
WHERE json_extract(realised, '$.ramp') IS NOT NULL
ORDER BY run, seed, step;

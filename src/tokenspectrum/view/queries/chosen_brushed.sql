-- A brush on the cloud keeps the responses with a token in it, and counts those tokens.
hits AS (
    SELECT r, count(*) AS hits
    FROM packed
    WHERE column_x BETWEEN $x_from AND $x_to AND column_y BETWEEN $y_from AND $y_to
    GROUP BY r
),
chosen AS (SELECT m.*, h.hits FROM matching AS m JOIN hits AS h USING (r))

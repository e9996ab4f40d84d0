chosen AS (SELECT m.*, NULL::BIGINT AS hits FROM matching AS m)

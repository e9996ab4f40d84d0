-- What a macro is given, or an error that names the valid range.  layer_count() is null before there is a policy.
CREATE MACRO checked_layer(layer) AS
CASE
    WHEN
        layer IS NOT NULL AND layer::DOUBLE = floor(layer::DOUBLE)
        AND (layer_count() IS NULL OR layer BETWEEN 0 AND layer_count() - 1)
        THEN layer
    ELSE error(
        'layer ' || coalesce(layer::VARCHAR, 'NULL')
        || coalesce(': the policy has layers 0 to ' || (layer_count() - 1), ': a whole number, from 0')
    )
END;

CREATE MACRO checked_fraction(name, p) AS
CASE
    WHEN p > 0 AND p <= 1 THEN p
    ELSE error(name || ' is a fraction above 0 and at most 1, not ' || coalesce(p::VARCHAR, 'NULL'))
END;

CREATE MACRO checked_cut(cut) AS
CASE
    WHEN cut > 0 AND cut < 1 THEN cut
    ELSE error('cut is a quantile above 0 and below 1, not ' || coalesce(cut::VARCHAR, 'NULL'))
END;

-- quantile_cont wants a constant, and checks its range before any error of ours: what is out of range is told elsewhere.
CREATE MACRO quantile_or_half(cut) AS CASE WHEN cut > 0 AND cut < 1 THEN cut ELSE 0.5 END;

-- Size of a partition: k = max(1, floor(p n + 0.5)), in double precision as the weighting rules compute it.
CREATE MACRO partition_size(p, n) AS greatest(1, floor(checked_fraction('p', p)::DOUBLE * n + 0.5))::INTEGER;

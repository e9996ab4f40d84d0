-- What a macro is given, or an error that names the valid range.  layer_count() is null before there is a policy.
CREATE MACRO checked_layer(layer) AS
CASE
    WHEN layer IS NOT NULL AND (layer_count() IS NULL OR layer BETWEEN 0 AND layer_count() - 1) THEN layer
    ELSE error('layer ' || coalesce(layer::VARCHAR, 'NULL') || ': the policy has layers 0 to ' || (layer_count() - 1))
END;

CREATE MACRO checked_fraction(name, p) AS
CASE
    WHEN p > 0 AND p <= 1 THEN p
    ELSE error(name || ' is a fraction above 0 and at most 1, not ' || coalesce(p::VARCHAR, 'NULL'))
END;

-- Size of a partition: k = max(1, floor(p n + 0.5)), in double precision as the weighting rules compute it.
CREATE MACRO partition_size(p, n) AS greatest(1, floor(p::DOUBLE * n + 0.5))::INTEGER;

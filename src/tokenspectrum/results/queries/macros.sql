-- Size of a partition: k = max(1, floor(p n + 0.5)), in double precision as the weighting rules compute it.
CREATE MACRO partition_size(p, n) AS greatest(1, floor(p::DOUBLE * n + 0.5))::INTEGER;

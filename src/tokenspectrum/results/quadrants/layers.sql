-- The layers of each base policy.
SELECT DISTINCT seed AS base, layer FROM attention ORDER BY ALL;

SELECT source, count(*) AS responses FROM responses WHERE source <> '' GROUP BY source ORDER BY source

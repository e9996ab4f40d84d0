"""Analysis: DuckDB over the tables, statistics, figures; one stage a result.  Training never imports it."""

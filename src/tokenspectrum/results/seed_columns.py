"""Columns of the result `seeds`, which other results read back from the CSV of another preset."""

from tokenspectrum.results.declare import Column

SEED_COLUMNS = (
    Column("method", str, "the method; base is the base policy"),
    Column("seed", int, "the replicate's training seed"),
    Column("base", int, "the base policy that it trains"),
    Column("<benchmark>", float, "accuracy on it, percent; stand-ins are marked"),
    Column("Avg", float, "arithmetic mean of the benchmarks, percent"),
    Column("against", str, "the method that it is compared with"),
    Column("difference", float, "Avg less that method's under the same replicate, points"),
    Column("weights", int, "weights of the policy, norms and biases left out; empty where its sizes are not known"),
)

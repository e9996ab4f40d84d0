"""One table of all benchmarks: what, device, ours, the peer's, ratio, limit, goal, and whether it is reached.

`python -m benchmarks.table` reads the CSVs of raw measurements and measures nothing.  `python -m benchmarks.table.run`
measures first.  A group of rows is a file of benchmarks/table/rows with ROWS and SCRIPTS; it is found by being there.
"""

"""S_m and losses that a trainer logged, against SQL over the tokens (results/queries/reconcile.sql)."""

import math
from pathlib import Path

import duckdb

from tokenspectrum.checking.found import Report
from tokenspectrum.results.sql import one_line, query_text, view_sql
from tokenspectrum.tokenlog.writer import step_path

RELATIVE = 1e-5


def check_sums(tokenlog: Path, metrics: Path, run: str, seed: int, report: Report) -> None:
    """Every mini-batch of every logged step of one run and seed."""
    with duckdb.connect() as connection:
        for root, table in ((tokenlog, "runs"), (tokenlog, "tokens"), (metrics, "metrics")):
            files = sorted(str(path) for path in (root / table).rglob("*.parquet"))
            if not files:
                return
            try:
                connection.execute(view_sql(table, files))
            except duckdb.Error as e:
                report.wrong(root / table, None, "sums", f"cannot be read: {one_line(e)}")
                return
        try:
            answer = connection.execute(query_text("queries/reconcile.sql"))
            names, rows = [column[0] for column in answer.description], answer.fetchall()
        except duckdb.Error as e:
            report.wrong(tokenlog, None, "sums", f"cannot be made: {one_line(e)}")
            return
        for values in rows:
            row = dict(zip(names, values, strict=True))
            path = step_path(metrics, "metrics", run, seed, row["step"])
            if row["tokens"] is None:  # this step's tokens are not logged
                continue
            for field, name in (("s_m_logged", "s_m"), ("step_loss_logged", "step_loss")):
                logged, summed = row[field], row[name]
                if summed is None or logged is None:
                    continue
                report.compared["sums"] += 1
                if not math.isclose(logged, summed, rel_tol=RELATIVE, abs_tol=1e-8):
                    label = f"s_m[{row['minibatch']}]" if name == "s_m" else "loss"
                    report.wrong(path, 0, label, f"{logged:.9g}, the tokens give {summed:.9g}")

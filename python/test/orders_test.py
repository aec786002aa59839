"""The table of wild/orders.py, of numpy alone."""
import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "wild"))

import order_functions  # noqa: E402
import orders  # noqa: E402


def test_numpys_orders_are_certified_and_stand_on_the_page():
    table = orders.all_rows(["numpy"], [64], rows=8, seed=1)
    assert len(table) == 6
    for row in table:
        assert row.found.certified and row.alone == "the same", row
    assert {row.found.family for row in table if row.function.startswith("sum")} == {"numpy pairwise"}
    text = orders.page(table, "python3 orders.py", argparse.Namespace(rows=8, seed=1))
    assert text.count("numpy pairwise") == 3 and text.count("| fp32_tree |") == 6


def test_a_library_that_is_missing_is_a_line(monkeypatch):
    def missing():
        raise ImportError("no such library")
    monkeypatch.setattr(order_functions, "functions", lambda: [order_functions.Function("numpy", "f", missing, ("fp32",))])
    row, = orders.all_rows(None, [64], rows=8, seed=1)
    assert row.found is None and "no such library" in row.text
    assert "no answer" in orders.page([row], "", argparse.Namespace(rows=8, seed=1))


def test_an_order_that_changes_with_the_batch_is_said(monkeypatch):
    import numpy

    def by_rows():
        def norm(x, epsilon):
            squares = x.astype(numpy.float32) ** 2
            total = numpy.sum(squares, axis=-1) if len(x) > 1 else numpy.add.accumulate(squares, axis=-1)[:, -1]
            return order_functions._finished(x, total, epsilon)
        return norm
    monkeypatch.setattr(order_functions, "functions", lambda: [order_functions.Function("numpy", "f", by_rows, ("fp32",))])
    row, = orders.all_rows(None, [64], rows=8, seed=1)
    assert (row.found.family, row.alone) == ("numpy pairwise", "serial, depth 63")

"""Honest numpy kernels are not refused: a small slice of wild/honest_kernels.py."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "wild"))

import honest_kernels  # noqa: E402
import kernels  # noqa: E402

HIDDEN = (1, 3, 64, 1024)


def test_no_row_of_numpy_is_refused():
    rows = honest_kernels.all_rows(["numpy"], seed=3, rows=3, hidden=HIDDEN)
    assert len(rows) == 18
    for row in rows:
        assert (row.judged, row.refused, row.text) == (3 * 5 * len(HIDDEN), 0, ""), row


def test_a_wrong_policy_refuses_rows_and_says_why():
    divides = next(kernel for kernel in kernels.kernels() if "divide" in kernel.policy)
    wrong = kernels.Kernel(**{**divides.__dict__, "policy": "weight=fp32"})
    row = honest_kernels.judge(wrong, "fp32", seed=3, rows=3, hidden=HIDDEN)
    assert row.refused and "violation in row" in row.text


def test_a_kernel_that_cannot_run_is_no_number(monkeypatch):
    def missing():
        raise ImportError("no such library")
    monkeypatch.setattr(kernels, "kernels", lambda: [kernels.Kernel("numpy", "f", "native", "", missing, ("fp32",))])
    row, = honest_kernels.all_rows(None, seed=1, rows=1)
    assert row.judged == 0 and "no such library" in row.text

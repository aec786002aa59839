#!/usr/bin/env python3
"""The kernels' tables of configurations are what choose_configurations.py makes of the saved measurements, and it names
the configuration that was fastest."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADER = "op,dtype,H,tokens,mode,shape,threads,dependent,copy_us,kernel_us,ratio\n"


def table(gpu, *files):
    command = [sys.executable, str(ROOT / "bench/choose_configurations.py"), gpu, *map(str, files)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def table_of(*lines):
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.write(HEADER + "".join(line + "\n" for line in lines))
        file.flush()
        return [line.strip() for line in table("h200", file.name).splitlines() if "ShapeKind" in line]


class ConfigurationTable(unittest.TestCase):
    def test_tables_are_made_of_the_saved_measurements(self):
        for gpu in ("h100", "h200"):
            measured = list((ROOT / "bench/results").glob(f"*-{gpu}-tune.csv"))
            self.assertEqual(len(measured), 1, measured)
            self.assertEqual((ROOT / f"kernels/configuration_table_{gpu}.inc").read_text(), table(gpu, *measured), gpu)

    def test_threads_are_named_where_they_do_not_follow_from_the_length(self):
        own = "add,bf16,4096,8192,cold,block_4_early,128,1,10,{},1"
        more = "add,bf16,4096,8192,cold,block_4_early,256,1,10,{},1"
        self.assertEqual(table_of(own.format(10), more.format(12)), ["{512, kAnyRows, ShapeKind::block_4_early, 0, true},"])
        self.assertEqual(table_of(own.format(12), more.format(10)), ["{512, kAnyRows, ShapeKind::block_4_early, 256, true},"])

    def test_the_worst_loss_over_dtypes_counts(self):
        lines = [f"rms,{dtype},1024,8192,cold,{shape},128,1,10,{us},1"
                 for dtype, shape, us in (("bf16", "warp_4", 10), ("fp16", "warp_4", 13), ("bf16", "warp_4_early", 11),
                                          ("fp16", "warp_4_early", 11))]
        self.assertEqual(table_of(*lines), ["{128, kAnyRows, ShapeKind::warp_4_early, 128, true},"])

    def test_shapes_that_are_gone_are_not_chosen(self):
        lines = [f"rms,bf16,1024,{tokens},cold,{shape},128,1,10,{us},1"
                 for tokens, shape, us in ((64, "gone", 5), (64, "warp_4", 10), (4096, "warp_4", 10))]
        self.assertEqual(table_of(*lines), ["{128, 512, ShapeKind::warp_4, 128, true},",
                                            "{128, kAnyRows, ShapeKind::warp_4, 128, true},"])


if __name__ == "__main__":
    unittest.main()

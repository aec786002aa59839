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
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def table_of(*lines):
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.write(HEADER + "".join(line + "\n" for line in lines))
        file.flush()
        return [line.strip() for line in table("h200", file.name).splitlines() if "ShapeKind" in line]


class ConfigurationTable(unittest.TestCase):
    def test_tables_are_made_of_the_saved_measurements(self):
        for gpu in ("h100", "h200"):
            measured = sorted((ROOT / "bench/results").glob(f"*-{gpu}-tune*.csv.xz"))
            self.assertTrue(measured, gpu)
            self.assertEqual((ROOT / f"kernels/configuration_table_{gpu}.inc").read_text(), table(gpu, *measured), gpu)

    def test_threads_are_named_where_they_do_not_follow_from_the_length(self):
        own = "add,bf16,4096,8192,cold,block_4_early,128,1,10,{},1"
        more = "add,bf16,4096,8192,cold,block_4_early,256,1,10,{},1"
        self.assertEqual(table_of(own.format(10), more.format(12)),
                         ["{512, kAnyRows, kAnyDtype, {ShapeKind::block_4_early, 0, true}},"])
        self.assertEqual(table_of(own.format(12), more.format(10)),
                         ["{512, kAnyRows, kAnyDtype, {ShapeKind::block_4_early, 256, true}},"])

    def test_the_worst_loss_over_modes_counts(self):
        for other in ("hot", "interrupted cold"):
            lines = [f"rms,bf16,1024,8192,{mode},{shape},128,1,10,{us},1"
                     for mode, shape, us in (("cold", "warp_2_early", 10), (other, "warp_2_early", 13),
                                             ("cold", "warp_4_early", 11), (other, "warp_4_early", 11))]
            self.assertEqual(table_of(*lines), ["{128, kAnyRows, kAnyDtype, {ShapeKind::warp_4_early, 128, true}},"])

    def test_the_slowest_time_of_several_counts(self):
        for times in ((9, 12), (12, 9)):
            lines = [f"rms,bf16,1024,8192,cold,warp_2_early,128,1,10,{us},1" for us in times]
            self.assertEqual(table_of(*lines, "rms,bf16,1024,8192,cold,warp_4_early,128,1,10,11,1"),
                             ["{128, kAnyRows, kAnyDtype, {ShapeKind::warp_4_early, 128, true}},"])

    def test_what_one_mode_lacks_is_not_chosen(self):
        lines = [f"rms,bf16,1024,8192,{mode},{shape},128,1,10,{us},1"
                 for mode, shape, us in (("cold", "warp_2_early", 5), ("cold", "warp_4_early", 11),
                                         ("hot", "warp_4_early", 11))]
        self.assertEqual(table_of(*lines), ["{128, kAnyRows, kAnyDtype, {ShapeKind::warp_4_early, 128, true}},"])

    def test_a_dtype_has_its_own_line_where_the_general_one_costs_it_more_than_a_hundredth(self):
        def lines(fp16):
            return [f"rms,{dtype},1024,8192,cold,{shape},128,1,10,{us},1"
                    for dtype, shape, us in (("bf16", "warp_2_early", 10), ("bf16", "warp_4_early", 11),
                                             ("fp16", "warp_2_early", fp16), ("fp16", "warp_4_early", 11))]

        general = "{128, kAnyRows, kAnyDtype, {ShapeKind::warp_2_early, 128, true}},"
        self.assertEqual(table_of(*lines(11.1)), [general])
        self.assertEqual(table_of(*lines(11.2)),
                         ["{128, kAnyRows, DType::fp16, {ShapeKind::warp_4_early, 128, true}},", general])

    def test_of_equals_the_one_that_suits_the_other_dtypes_is_chosen(self):
        lines = [f"rms,{dtype},1024,8192,cold,{shape},128,1,10,{us},1"
                 for dtype, shape, us in (("bf16", "warp_2_early", 10), ("bf16", "warp_4_early", 10.01),
                                          ("fp16", "warp_2_early", 12), ("fp16", "warp_4_early", 10))]
        self.assertEqual(table_of(*lines), ["{128, kAnyRows, kAnyDtype, {ShapeKind::warp_4_early, 128, true}},"])

    def test_rows_of_as_many_bytes_share_a_line(self):
        lines = ["rms,bf16,1024,64,hot,warp_2_early,128,1,10,10,1", "rms,fp32,512,64,hot,warp_2_early,128,1,10,10,1",
                 "rms,fp32,512,64,hot,warp_4_early,128,1,10,9,1"]
        self.assertEqual(table_of(*lines), ["{128, kAnyRows, DType::fp32, {ShapeKind::warp_4_early, 128, true}},",
                                            "{128, kAnyRows, kAnyDtype, {ShapeKind::warp_2_early, 128, true}},"])

    def test_lines_that_evict_last_begin_where_they_were_measured(self):
        lines = [f"rms,bf16,4096,{tokens},cold,{shape},256,1,10,10,1"
                 for tokens, shape in ((16, "block_2_early"), (64, "block_2_early"), (1024, "block_2_early_evict_last"),
                                       (4096, "block_2_early_evict_last"))]
        self.assertEqual([line.split(", ")[1] for line in table_of(*lines)], ["32", "1023", "2048", "kAnyRows"])

    def test_shapes_that_are_gone_are_not_chosen(self):
        lines = [f"rms,bf16,1024,{tokens},cold,{shape},128,1,10,{us},1"
                 for tokens, shape, us in ((64, "gone", 5), (64, "warp_2_early", 10), (4096, "warp_2_early", 10))]
        self.assertEqual(table_of(*lines), ["{128, 512, kAnyDtype, {ShapeKind::warp_2_early, 128, true}},",
                                            "{128, kAnyRows, kAnyDtype, {ShapeKind::warp_2_early, 128, true}},"])

    def test_nothing_comparable_is_an_error(self):
        with self.assertRaises(subprocess.CalledProcessError) as caught:
            table_of("rms,bf16,1024,64,cold,warp_2_early,128,1,10,5,1", "rms,bf16,1024,64,hot,warp_4_early,128,1,10,5,1")
        self.assertEqual(caught.exception.returncode, 2)
        self.assertIn("rms, bf16, 128 chunks, 64 rows", caught.exception.stderr)

    def test_files_that_are_no_measurements_are_named(self):
        with self.assertRaises(subprocess.CalledProcessError) as caught:
            table("h200", "/nowhere.csv")
        self.assertEqual(caught.exception.returncode, 2)
        self.assertIn("/nowhere.csv: No such file", caught.exception.stderr)
        for line in ("rms,bf16,many,64,cold,warp_2_early,128,1,10,5,1", "rms,int8,1024,64,cold,warp_2_early,128,1,10,5,1",
                     "rms,bf16,1024,64,cold,warp_2_early,128"):
            with self.assertRaises(subprocess.CalledProcessError) as caught:
                table_of(line)
            self.assertEqual(caught.exception.returncode, 2)
            self.assertIn(".csv: not what `normproof bench --tune` writes", caught.exception.stderr)


if __name__ == "__main__":
    unittest.main()

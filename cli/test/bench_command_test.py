#!/usr/bin/env python3
"""Drives `normproof bench --target cuda` where there is no GPU, with a library in place of the one that measures.

Usage: bench_command_test.py NORMPROOF STAND-IN [UNITTEST-ARGUMENT...]
"""
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest

PROGRAM, STAND_IN = sys.argv[1:3]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEERS = """\
# other kernels
op,H,tokens,mode,copy,other,prototype,prototype_pdl
rms,128,1,hot,5,20,,
rms,1024,1,hot,5,20,,
rms,1024,8192,cold,5,20,,
addq,4096,8192,cold,5,20,,
"""


class BenchCommand(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.write("peers.csv", PEERS)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)

    def read(self, name):
        with open(self.path(name)) as file:
            return file.read()

    def bench(self, *arguments, code=0, fault="", library=STAND_IN):
        """What the program prints; self.requests holds what it asked for."""
        self.write("log", "")
        environment = {**os.environ, "NORMPROOF_BENCH_CUDA": library, "NORMPROOF_STAND_IN_LOG": self.path("log"),
                       "NORMPROOF_STAND_IN_FAULT": fault}
        done = subprocess.run([PROGRAM, "bench", "--peers", "peers.csv", *arguments], cwd=self.folder, capture_output=True,
                              text=True, timeout=60, env=environment)
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}\n{done.stderr}")
        self.requests = [json.loads(line) for line in self.read("log").splitlines()]
        return done.stdout + done.stderr

    def test_every_selected_row_is_measured_beside_its_limits(self):
        text = self.bench("--json", "b.json", "--csv", "b.csv", "--svg", "b.svg", "--dtype", "bf16,fp32")
        self.assertIn("stand-in, driver 1.2", text)
        self.assertEqual([(r["adds"], r["quantizes"], r["rows"], r["hidden"], r["cold"]) for r in self.requests],
                         2 * [(0, 0, 32, 128, 0), (0, 0, 1, 1024, 0), (0, 0, 8192, 1024, 1), (1, 1, 8192, 4096, 1)])
        for request in self.requests:
            plain = {"copy": 1, "shape": -1, "threads": 0, "replays": 0, "interrupted": 0, "hot_sets": 0}
            self.assertEqual(request, request | plain)
        report = json.loads(self.read("b.json"))
        self.assertEqual([row["dtype"] for row in report["rows"]], 4 * ["bf16"] + 4 * ["fp32"])
        self.assertEqual({(row["copy_us"], row["kernel_us"], row["ratio"], row["shape"]) for row in report["rows"]},
                         {(5, 10, 0.5, "warp_4")})
        # The peers were measured in bf16.
        self.assertEqual(["best_peer" in row for row in report["rows"]], 4 * [True] + 4 * [False])
        self.assertTrue(report["command"].endswith("bench --peers peers.csv --json b.json --csv b.csv --svg b.svg --dtype "
                                                   "bf16,fp32"), report["command"])
        comment, *table = self.read("b.csv").splitlines()
        self.assertIn(report["command"], comment)
        self.assertEqual(len(list(csv.DictReader(table))), 8)
        self.assertIn("<svg", self.read("b.svg"))

        self.bench("--op", "rms_norm", "--hidden", "1024", "--tokens", "1")
        self.assertEqual([(r["rows"], r["hidden"]) for r in self.requests], [(1, 1024)])
        self.assertIn("no row", self.bench("--hidden", "77", code=2))

    def test_how_rows_are_measured_can_be_chosen(self):
        self.bench("--interrupted")
        self.assertEqual([(r["interrupted"], r["hot_sets"]) for r in self.requests], 4 * [(1, 0)])
        self.bench("--hot-sets", "3")
        self.assertEqual([(r["interrupted"], r["hot_sets"]) for r in self.requests], 4 * [(0, 3)])
        self.assertIn("--hot-sets", self.bench("--hot-sets", "0", code=2))
        self.assertIn("--hot-sets", self.bench("--hot-sets", "3", "--tune", "t.csv", code=2))
        self.assertEqual(self.requests, [])

    def tuned(self, tokens):
        """(mode, shape, threads) -> microseconds"""
        self.bench("--op", "rms", "--hidden", "1024", "--tokens", tokens, "--tune", "t.csv")
        rows = list(csv.DictReader(self.read("t.csv").splitlines()))
        self.assertEqual({(row["op"], row["dtype"], row["H"], row["tokens"]) for row in rows},
                         {("rms", "bf16", "1024", tokens)})
        return {(row["mode"], row["shape"], int(row["threads"])): float(row["kernel_us"]) for row in rows}

    def test_tuning_keeps_what_is_not_far_from_the_best_undisturbed_and_interrupted(self):
        # A hundredth more where the measurement was a short one: of what is far, and warp_4, which is good undisturbed alone.
        self.assertEqual(self.tuned("1"), {
            ("hot", "warp_4_early", 128): 11, ("interrupted hot", "warp_4_early", 128): 11,
            ("hot", "block_2_early", 128): 11.5, ("interrupted hot", "block_2_early", 128): 11.4,
            ("hot", "block_4_early", 128): 12.51, ("interrupted hot", "block_4_early", 128): 12.51,
            ("hot", "warp_4", 128): 10.01, ("interrupted hot", "warp_4", 128): 13.01,
        })
        # Five shapes with 0 and 64 threads: not with 256, which come to as many as 0.
        short = [(r["shape"], r["threads"]) for r in self.requests if r["interrupted"] and r["replays"] > 0]
        self.assertEqual(short, [(shape, threads) for shape in range(5) for threads in (0, 64)])
        self.assertNotIn(5, {r["shape"] for r in self.requests})

    def test_rows_that_the_cache_does_not_hold_are_tuned_with_hints_too(self):
        times = self.tuned("8192")
        self.assertEqual(times["cold", "block_2_early_evict_last", 128], 10.8)
        self.assertEqual(times["interrupted cold", "block_2_early_evict_last", 128], 10.9)
        done = subprocess.run([sys.executable, os.path.join(ROOT, "bench", "choose_configurations.py"), "h200",
                               self.path("t.csv")], capture_output=True, text=True, check=True)
        self.assertIn("{128, kAnyRows, kAnyDtype, {ShapeKind::block_2_early_evict_last, 128, true}},", done.stdout)

    def test_a_row_for_which_memory_is_lacking_is_left_out_and_named(self):
        text = self.bench("--json", "b.json", fault="memory:1024")
        self.assertIn("LEFT OUT rms bf16 8192 x 1024 cold: bench: no memory for 1024\n", text)
        report = json.loads(self.read("b.json"))
        self.assertEqual([row["hidden"] for row in report["rows"]], [128, 4096])
        self.assertEqual(len(report["left_out"]), 2)
        self.assertIn("nothing was measured", self.bench("--hidden", "1024", fault="memory:1024", code=3))

    def test_what_was_measured_before_a_failure_is_not_lost(self):
        text = self.bench("--json", "b.json", "--tune", "t.csv", fault="failed:1024", code=3)
        self.assertIn("broken at 1024", text)
        self.assertEqual([row["hidden"] for row in json.loads(self.read("b.json"))["rows"]], [128])
        self.assertIn("rms,bf16,128,1,hot,", self.read("t.csv"))
        self.assertIn("broken at 1024", self.bench("--hidden", "1024", "--json", "none.json", fault="failed:1024", code=3))
        self.assertFalse(os.path.exists(self.path("none.json")))

    def test_tuning_that_is_broken_off_leaves_what_it_has(self):
        self.bench("--tune", "t.csv", fault="killed:1024", code=-signal.SIGKILL)
        self.assertEqual({row["H"] for row in csv.DictReader(self.read("t.csv").splitlines())}, {"128"})

    def test_without_device_or_library_nothing_can_run(self):
        self.assertIn("there is no device", self.bench(fault="absent", code=3))
        self.assertIn("nowhere.so", self.bench(library=self.path("nowhere.so"), code=3))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])

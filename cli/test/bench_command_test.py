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
# Of an operation without a kernel, so that nothing is measured of it.
NO_FAMILY = "op,details,H,tokens,mode,copy,other,goal,goal_us\nrms_norm_nvfp4_quant,,77,1,hot,,,,\n"
FAMILY = """\
op,details,H,tokens,mode,copy,other,slow,goal,goal_us
layer_norm,without=bias weight=fp32,4096,8192,cold,30,40,60,0.95,
layer_norm,,4096,1,hot,1,2,,,1.25
fused_add_rms_norm_mx_quant,out=uint8 with=normalized,96,16,hot,,,,,
qk_norm_rope,heads=3 rotated=64 in_place=out,128,16,hot,,,,0.4,10
gated_rms_norm,,64,16,hot,,,,,
"""


class BenchCommand(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.write("peers.csv", PEERS)
        self.write("family.csv", NO_FAMILY)

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
        done = subprocess.run([PROGRAM, "bench", "--peers", "peers.csv", "--family", "family.csv", *arguments], cwd=self.folder, capture_output=True,
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
        self.assertTrue(report["command"].endswith("bench --peers peers.csv --family family.csv --json b.json --csv b.csv --svg b.svg --dtype "
                                                   "bf16,fp32"), report["command"])
        comment, *table = self.read("b.csv").splitlines()
        self.assertIn(report["command"], comment)
        self.assertEqual(len(list(csv.DictReader(table))), 8)
        self.assertIn("<svg", self.read("b.svg"))

        self.bench("--op", "rms_norm", "--hidden", "1024", "--tokens", "1")
        self.assertEqual([(r["rows"], r["hidden"]) for r in self.requests], [(1, 1024)])
        self.assertIn("no row", self.bench("--hidden", "78", code=2))

    def test_operations_by_name_are_measured_as_their_tables_have_them(self):
        self.write("family.csv", FAMILY)
        text = self.bench("--op", "layer_norm,fused_add_rms_norm_mx_quant,qk_norm_rope,gated_rms_norm", "--json", "b.json",
                          "--csv", "b.csv", "--svg", "b.svg")
        self.assertEqual([(r["operation"], r["cold"], r["copy"]) for r in self.requests],
                         [("layer_norm", 1, 1), ("layer_norm", 0, 1), ("fused_add_rms_norm_mx_quant", 0, 1), ("qk_norm_rope", 0, 1)])
        fp32, bf16, uint8 = 0, 2, 8
        nothing, normal, unit = 0, 1, 2

        def tensor(dtype, sizes, values=nothing, weight=0, in_place_of=-1):
            return {"dtype": dtype, "sizes": sizes, "values": values, "weight": weight, "in_place_of": in_place_of}
        self.assertEqual(self.requests[0]["tensors"], {
            "x": tensor(bf16, [8192, 4096], normal), "weight": tensor(fp32, [4096], normal, weight=1), "out": tensor(bf16, [8192, 4096])})
        self.assertEqual(sorted(self.requests[1]["tensors"]), ["bias", "out", "weight", "x"])
        self.assertEqual(self.requests[1]["numbers"], {"epsilon": 1e-6})
        self.assertEqual(self.requests[2]["tensors"], {
            "x": tensor(bf16, [16, 96], normal), "residual": tensor(bf16, [16, 96], normal),
            "weight": tensor(bf16, [96], normal, weight=1), "out": tensor(uint8, [16, 48]), "scales": tensor(uint8, [16, 3]),
            "residual_out": tensor(bf16, [16, 96], in_place_of=1), "normalized": tensor(bf16, [16, 96])})
        self.assertEqual(self.requests[3]["tensors"], {
            "x": tensor(bf16, [16, 3, 128], normal), "weight": tensor(bf16, [128], normal, weight=1),
            "cos": tensor(bf16, [16, 32], unit), "sin": tensor(bf16, [16, 32], unit),
            "out": tensor(bf16, [16, 3, 128], in_place_of=0)})
        # Half as fast as the copy: the goals of a row, its fastest peer, and what no kernel is there for.
        for line in ("EXCEPTION layer_norm (without=bias weight=fp32) bf16 8192 x 4096 cold: copy / kernel 0.500, the goal is 0.95\n",
                     "EXCEPTION layer_norm (without=bias weight=fp32) bf16 8192 x 4096 cold: other reached 0.750 (40.00 us)",
                     "EXCEPTION layer_norm bf16 1 x 4096 hot: 10.00 us, the goal is 1.25 us\n",
                     "LEFT OUT 1 row of gated_rms_norm: it has no kernel\n"):
            self.assertIn(line, text)
        self.assertNotIn("EXCEPTION qk_norm_rope", text)
        rows = json.loads(self.read("b.json"))["rows"]
        self.assertEqual([(row["op"], row["rows"], row.get("goal"), row.get("goal_us")) for row in rows],
                         [("layer_norm", 8192, 0.95, None), ("layer_norm", 1, None, 1.25),
                          ("fused_add_rms_norm_mx_quant", 16, None, None), ("qk_norm_rope", 48, 0.4, 10)])
        table = list(csv.DictReader(self.read("b.csv").splitlines()[1:]))
        self.assertEqual([row["details"] for row in table], ["without=bias weight=fp32", "", "out=uint8 with=normalized",
                                                             "heads=3 rotated=64 in_place=out"])
        self.assertEqual((table[0]["best_peer"], table[0]["goal"], table[3]["goal_us"]), ("other", "0.95", "10"))
        self.assertIn(">layer_norm</text>", self.read("b.svg"))
        # In another dtype without peers, who were measured in bf16.
        text = self.bench("--op", "layer_norm", "--dtype", "fp16")
        self.assertEqual([tensor["dtype"] for tensor in self.requests[1]["tensors"].values()], 4 * [1])
        self.assertNotIn("other", text)
        self.assertNotIn("us, the goal is", text)

    def test_a_row_that_cannot_be_called_is_named(self):
        for details, what in (("out=fp7", "no such dtype"), ("thread=3", "neither a tensor nor a word"), ("with=gate", "no tensor gate"),
                              ("heads=0", "heads"), ("in_place=mean with=mean", "in_place=mean")):
            self.write("family.csv", "op,details,H,tokens,mode,copy,goal,goal_us\nlayer_norm,,8,1,hot,,,\n"
                                     f"layer_norm,{details},8,1,hot,,,\n")
            text = self.bench(code=3)
            self.assertIn("family.csv:3: not a row of figures", text)
            self.assertIn(what, text)

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
        self.assertEqual(len(report["left_out"]), 3)
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

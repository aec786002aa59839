#!/usr/bin/env python3
"""Drives `normproof order`, and `--order` of other commands, as a user would.

Usage: order_command_test.py NORMPROOF [PLUGIN [UNITTEST-ARGUMENT...]]
PLUGIN is properties/plugin/test/faulty_plugin.cpp as a library.
"""
import json
import os
import struct
import subprocess
import sys
import unittest

from program_test_case import PROGRAM, ProgramTest

PLUGIN = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None

# One and nine times 2^-12: added to 1 each square of 2^-24 is lost, added to each other first they are not. In fp32 the
# canonical order has three lanes of them (oracle/CONTRACT.md).
ONE, SMALL = 0x3F800000, 0x39800000
ROW = [ONE] + [SMALL] * 9
CANONICAL, SERIAL = 0x404A62BF, 0x404A62C2  # of the first element
EXPONENTS = 0x06000000  # 12 of them: of the other elements


def serial_order(hidden, fused=True):
    additions = [[0, 1]] + ([[hidden, 2, [hidden - 2, 1, 1]]] if hidden > 2 else [])
    return {"normproof_order": 1, "orders": [{
        "operation": "rms_norm", "dtype": "fp32", "hidden_size": hidden, "rows": 1, "family": "serial", "fma_known": True,
        "root": {"code": "rounded_once"},
        "tree": {"leaves": hidden, "precision": "fp32", "additions": additions,
                 "fused": [[1, [hidden - 1, 1]]] if fused else []}}]}


def dump(x, out):
    """A dump of one fp32 row."""
    hidden, header, data = len(x), {"__metadata__": {"op": "rms_norm", "epsilon": "0"}}, b""
    for name, values in (("x", x), ("out", out)):
        content = struct.pack(f"<{hidden}I", *values)
        header[name] = {"dtype": "F32", "shape": [1, hidden], "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def outputs(first):
    return [first] + [first - EXPONENTS] * 9


class OrderCommand(ProgramTest):
    def write(self, content, name):
        with open(self.path(name), "wb" if isinstance(content, bytes) else "w") as file:
            file.write(content if isinstance(content, (bytes, str)) else json.dumps(content))
        return self.path(name)

    def read(self, name):
        with open(self.path(name)) as file:
            return json.load(file)

    def order_of_host(self, hidden, dtype="fp32"):
        file = self.path(f"order-{hidden}.json")
        self.run_program("order", "--hidden", str(hidden), "--dtype", dtype, "--json", file, "--aligned-only")
        return file

    def test_names_the_canonical_order_and_writes_it(self):
        file = self.path("order.json")
        text = self.run_program("order", "--hidden", "2048", "--json", file, "--rows-per-call", "64,1,3")
        self.assertIn("binary fp32 tree", text)
        self.assertIn("canonical of bf16 and fp16", text)
        self.assertIn("1 row per call, aligned to 256 bytes: the same order, certified", text)
        self.assertIn("3 rows per call, aligned to 256 bytes: the same order, certified", text)
        self.assertIn("shifted by one element: the same order, certified", text)
        self.assertIn("rounded once", text)
        self.assertIn("not looked at:", text)
        with open(file) as opened:
            document = json.load(opened)
        self.assertEqual([entry["rows"] for entry in document["orders"]], [64, 1, 3, 64])
        first = document["orders"][0]
        self.assertTrue(first["certified"])
        self.assertEqual(first["depth"], 15)
        self.assertEqual(first["tree"]["leaves"], 2048)
        self.assertLess(os.path.getsize(file), 10000)

    def test_fma_leaves_of_fp32(self):
        text = self.run_program("order", "--hidden", "256", "--dtype", "fp32")
        self.assertIn("192 of 256 leaves are added by an fma", text)

    def test_int8_and_an_upper_bound_above_the_outputs(self):
        rows = ("order", "--op", "rms_norm_dynamic_quant", "--quantized", "int8", "--hidden", "100", "--aligned-only")
        for bound in ((), ("--scale-ub", "100")):
            text = self.run_program(*rows, *bound, "--json", "codes.json")
            with open(self.path("codes.json")) as file:
                entry = json.load(file)["orders"][0]
            self.assertEqual((entry["quantized_dtype"], entry.get("scale_ub")), ("int8", 100 if bound else None))
            self.assertIn("out int8, H 100" + (", scale_ub 100" if bound else ""), text)
            self.assertIn("canonical of bf16", text)
        self.assertNotIn("canonical of bf16", self.run_program(*rows, "--scale-ub", "0.01", code=1))  # it hides every scale
        for arguments, message in ((("--op", "rms_norm_static_fp8_quant", "--quantized", "int8"), "makes none"),
                                   (("--scale-ub", "1"), "rms_norm has no upper bound"), ((*rows[1:], "--scale-ub", "-1"), "above 0")):
            self.assertIn(message, self.run_program("order", *arguments, code=2))

    def test_the_same_seed_asks_the_same(self):
        texts = [self.run_program("order", "--hidden", "100", "--seed", "9", "--aligned-only") for _ in range(2)]
        asked = [[line.rsplit(",", 1)[0] for line in text.splitlines()] for text in texts]
        self.assertEqual(asked[0], asked[1])

    def test_check_predicts_every_bit(self):
        canonical = self.order_of_host(10)
        serial = self.write(serial_order(10), "serial.json")
        for order, first in ((canonical, CANONICAL), (serial, SERIAL)):
            good = self.write(dump(ROW, outputs(first)), "good.safetensors")
            bad = self.write(dump(ROW, outputs(CANONICAL + SERIAL - first)), "bad.safetensors")
            self.assertIn("given order of summation", self.run_program("check", good, "--order", order))
            self.assertIn("scale violation", self.run_program("check", bad, "--order", order, code=1))
        # Any order admits both.
        self.run_program("check", self.path("good.safetensors"), self.path("bad.safetensors"))

    def test_minimize_and_identify_take_an_order(self):
        serial = self.write(serial_order(10), "serial.json")
        bad = self.write(dump(ROW, outputs(CANONICAL)), "bad.safetensors")
        text = self.run_program("minimize", bad, "--order", serial, "--output", self.path("small.json"), code=1)
        self.assertIn("--order", text)
        self.run_program("check", self.path("small.json"), "--order", serial, code=1)
        self.assertIn("policy: native", self.run_program("identify", bad, "--order", self.order_of_host(10)))
        run = subprocess.run([PROGRAM, "identify", bad, "--order", serial], capture_output=True, text=True, cwd=self.folder)
        self.assertNotIn("policy: native", run.stdout)

    def test_replay_and_explain_take_an_order(self):
        case = self.write({"normproof_case": 1, "name": "ten", "operation": "rms_norm", "dtype": "fp32", "shape": [1, 10], "epsilon": 0,
                           "input": {"bits": [" ".join(f"{bits:08x}" for bits in ROW)]}}, "case.json")
        right, wrong = self.order_of_host(10), self.write(serial_order(10), "serial.json")
        text = self.run_program("replay", case, "--order", right)
        self.assertIn("1 of 1 cases were judged by an order", text)
        self.run_program("replay", case, "--order", wrong, code=1)
        self.assertIn("steps are those of that order", self.run_program("explain", case, "--order", right))
        text = self.run_program("explain", case, "--order", wrong, code=1)
        self.assertIn(f"{SERIAL:#010x}", text)
        # An order of other rows says nothing about this case, which is said.
        other = self.write(serial_order(12), "other.json")
        self.assertIn("0 of 1 cases were judged by an order", self.run_program("replay", case, "--order", other))

    def test_orders_that_cannot_be_used_are_refused(self):
        good = self.write(dump(ROW, outputs(CANONICAL)), "good.safetensors")
        other = self.write(serial_order(12), "other.json")
        text = self.run_program("check", good, "--order", other, code=2)
        self.assertIn("has no order for", text)
        self.assertIn("it has: rms_norm fp32 H 12", text)
        serial = self.write(serial_order(10), "serial.json")
        text = self.run_program("check", good, "--order", serial, "--policy", "variance=kahan", code=2)
        self.assertIn("variance=kahan sums otherwise", text)
        self.run_program("check", good, "--order", serial, "--canonical", code=2)
        self.run_program("check", good, "--order", self.path("missing.json"), code=2)
        damaged = serial_order(10)
        damaged["orders"][0]["tree"]["additions"][0] = [0, 11]
        text = self.run_program("check", good, "--order", self.write(damaged, "damaged.json"), code=2)
        self.assertIn("damaged.json: $.orders[0].tree.additions", text)
        empty = self.write({"normproof_order": 1, "orders": []}, "empty.json")
        self.assertIn("holds no order", self.run_program("check", good, "--order", empty, code=2))

    def test_verify_certifies_and_judges_by_the_order(self):
        result = self.path("result.json")
        text = self.run_program("verify", "--target", "host", "--order", "auto", "--op", "rms_norm", "--dtype", "bf16",
                                "--seconds", "2", "--seed", "3", "--json", result)
        self.assertIn("rms_norm bf16: canonical of bf16 and fp16, certified", text)
        self.assertIn("judged by the orders in findings/order.json: calls of the shapes", text)
        self.assertIn("(rms_norm bf16 H 4096)", text)

    def test_shards_of_a_run_by_orders_are_the_run(self):
        run = ("verify", "--target", "host", "--op", "rms_norm", "--dtype", "bf16", "--seconds", "0", "--cases", "20",
               "--property-cases", "1", "--seed", "3")
        self.run_program(*run, "--order", "auto", "--json", "whole.json")
        for index in (1, 2):
            self.run_program(*run, "--order", "auto", "--shard", f"{index}/2", "--json", f"{index}.json")
        self.run_program("merge", "1.json", "2.json", "--json", "merged.json")
        whole, merged = self.read("whole.json"), self.read("merged.json")
        self.assertEqual(merged["run"], whole["run"])
        self.assertRegex(whole["run"]["orders"], "^[0-9a-f]{16}$")
        known = [[c for c in result["checks"] if c["group"] == "order"] for result in (whole, merged)]
        self.assertEqual([(c["name"], c["cases"], c["passed"]) for c in known[0]], [(c["name"], c["cases"], c["passed"]) for c in known[1]])
        self.assertGreater(known[0][0]["cases"], 10)
        # Of another order, or of none, no part of that run can be.
        self.order_of_host(64, "bf16")
        self.run_program(*run, "--order", self.path("order-64.json"), "--shard", "2/2", "--json", "other.json")
        self.assertIn("results of different runs: orders", self.run_program("merge", "1.json", "other.json", code=2))
        self.run_program(*run, "--shard", "2/2", "--json", "none.json")
        self.assertIn("results of different runs", self.run_program("merge", "1.json", "none.json", code=2))

    @unittest.skipIf(PLUGIN is None, "no plug-in is given")
    def test_a_path_that_alignment_chooses_has_an_order_of_its_own(self):
        os.environ["NORMPROOF_FAULT"] = "order-by-alignment"
        self.addCleanup(os.environ.pop, "NORMPROOF_FAULT")
        # Both paths are found, each certified.
        text = self.run_program("order", "--target", PLUGIN, "--dtype", "bf16", "--hidden", "512", "--demand", "one-order",
                                "--json", "order.json", code=1)
        self.assertIn("shifted by one element: not the order above", text)
        self.assertIn("reverse serial", text)
        orders = self.read("order.json")["orders"]
        self.assertEqual([(one["offset"], one["family"]) for one in orders], [(0, "serial"), (1, "reverse serial")])
        # `verify --order auto` judges the aligned calls by theirs: the shifted ones, in any order, are no violation.
        text = self.run_program("verify", "--target", PLUGIN, "--order", "auto", "--op", "rms_norm", "--dtype", "bf16", "--seconds", "3",
                                "--seed", "3", "--json", "result.json")
        self.assertIn("rms_norm bf16: serial, certified", text)
        known = [c for c in self.read("result.json")["checks"] if c["group"] == "order"]
        self.assertGreater(known[0]["cases"], 10)
        # Judged by the order of the other path, aligned calls are wrong: the judge does look.
        os.environ["NORMPROOF_FAULT"] = "other-order"
        self.run_program("order", "--target", PLUGIN, "--dtype", "bf16", "--hidden", "4096", "--aligned-only", "--json", "reverse.json")
        os.environ["NORMPROOF_FAULT"] = "order-by-alignment"
        self.run_program("verify", "--target", PLUGIN, "--order", "reverse.json", "--op", "rms_norm", "--dtype", "bf16", "--seconds", "3",
                         "--seed", "3", "--no-shrink", code=1)

    def test_usage(self):
        self.run_program("order", "--hidden", "0", code=2)
        self.run_program("order", "--rows-per-call", "0", code=2)
        self.run_program("order", "--target", "nobody", code=3)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])

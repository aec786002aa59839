#!/usr/bin/env python3
"""Drives `normproof bound` as a user would.

Usage: bound_command_test.py NORMPROOF [UNITTEST-ARGUMENT...]
"""
import json
import os
import struct
import sys
import unittest

from program_test_case import ProgramTest


def serial_order(hidden):
    return {"normproof_order": 1, "orders": [{
        "operation": "rms_norm", "dtype": "bf16", "hidden_size": hidden, "rows": 1, "family": "serial", "root": {"code": "rounded_once"},
        "tree": {"leaves": hidden, "precision": "fp32", "additions": [[0, 1], [hidden, 2, [hidden - 2, 1, 1]]], "fused": []}}]}


def bf16(bits):
    return struct.unpack("<f", struct.pack("<I", int(bits, 16) << 16))[0]


class BoundCommand(ProgramTest):
    def bound(self, *arguments, code=0):
        self.run_program("bound", *arguments, "--json", self.path("bound.json"), code=code)
        with open(self.path("bound.json")) as file:
            return json.load(file)

    def test_the_tolerance_of_two_kernels(self):
        text = self.run_program("bound", "rms_norm", "--dtype", "bf16", "--hidden", "4096")
        self.assertIn("at most 2 ulp apart, rtol 0.0139", text)
        self.assertIn("assert_close(a, b, rtol=0.0139, atol=2.94e-39)", text)
        self.assertIn("attained: ", text)
        self.assertIn("assert_close(rtol=1e-2, atol=1e-2) rejects one of these two right kernels", text)
        self.assertIn("no bound exists where\n  epsilon < 0", text)
        self.assertIn("the sum of squares overflows", text)

    def test_int8_is_two_apart_and_has_no_ratio(self):
        document = self.bound("rms_norm_dynamic_quant", "--quantized", "int8", "--hidden", "512", "--examples", "int8")
        self.assertEqual((document["apart"], document["rtol"], document["atol"]), (2, 0, 2))
        for side in ("first", "second"):
            self.run_program("check", self.path(f"int8/attained-0-0-{side}.json"))
        self.assertIn("makes none", self.run_program("bound", "rms_norm_static_fp8_quant", "--quantized", "int8", code=2))

    def test_an_upper_bound_of_scales(self):
        rows = ("rms_norm_dynamic_quant", "--quantized", "int8", "--hidden", "512")
        free = self.bound(*rows, "--no-search")
        self.assertNotIn("scale_ub", free)
        # Elements up to 8: the bound is below the largest of some rows that are found.
        document = self.bound(*rows, "--scale-ub", "1.5", "--examples", "bounded")
        self.assertEqual((document["scale_ub"], document["apart"], document["atol"]), (1.5, free["apart"], free["atol"]))
        self.assertIn("the upper bound of scales is 1.5, and the largest y of a row is above", "\n".join(document["conditions"]))
        for side in ("first", "second"):
            file = self.path(f"bounded/attained-0-0-{side}.json")
            self.run_program("check", file)
            with open(file) as opened:
                self.assertEqual(json.load(opened)["scale_ub"], 1.5)
        # At most 2^-23 * 127: the least scale of int8, and the same for all rows.
        text = self.run_program("bound", *rows, "--scale-ub", "1e-5", "--no-search")
        self.assertIn("the rows' scales: at most 0 numbers of fp32 apart", text)
        self.assertIn("of which scale_floor makes one scale for all rows", text)
        text = self.run_program("bound", *rows, "--scale-ub", "1e-5", "--policies", "native,scale_floor=none", code=1)
        self.assertIn("no bound exists: scale_ub is 1e-05: scale_floor makes one scale for all rows of the one policy", text)
        for arguments, message in ((("rms_norm", "--scale-ub", "1"), "rms_norm has no upper bound of scales"),
                                   ((*rows, "--scale-ub", "0"), "above 0, got '0'")):
            self.assertIn(message, self.run_program("bound", *arguments, code=2))

    def test_examples_conform_and_differ(self):
        document = self.bound("rms_norm", "--hidden", "4096", "--examples", "found")
        pair = document["pairs"][0]
        self.assertTrue(pair["attained"])
        self.assertEqual((pair["apart"], pair["best_found"]), (2, 2))
        values = [bf16(pair["example"][side]["bits"]) for side in ("first", "second")]
        self.assertAlmostEqual(max(values) / min(values) - 1, 1 / 72, places=9)
        self.assertGreater(abs(values[0] - values[1]), 1e-2 + 1e-2 * min(values))
        names = sorted(os.listdir(self.path("found")))
        self.assertEqual(names, ["attained-0-0-first.json", "attained-0-0-second.json", "no-bound-1-first.json",
                                 "no-bound-1-second.json", "no-bound-2-first.json", "no-bound-2-second.json"])
        text = self.run_program("check", *(os.path.join("found", name) for name in names))
        self.assertIn("files: 6, conforming 6", text)
        cases = []
        for side in ("first", "second"):
            with open(os.path.join(self.path("found"), f"attained-0-0-{side}.json")) as file:
                cases.append(json.load(file))
        self.assertEqual(cases[0]["input"], cases[1]["input"])
        self.assertNotEqual(cases[0]["outputs"], cases[1]["outputs"])

    def test_policies_of_two_kernels(self):
        pairs = self.bound("fused_add_rms_norm", "--policies", "weight=fp32,weight=fp32+sum=fp32", "--no-search")["pairs"]
        self.assertEqual([(pair["first"], pair["second"], pair["apart"]) for pair in pairs],
                         [("weight=fp32", "weight=fp32", 1), ("weight=fp32", "weight=fp32,sum=fp32", 3),
                          ("weight=fp32,sum=fp32", "weight=fp32,sum=fp32", 1)])

    def test_codes_of_fp8(self):
        document = self.bound("rms_norm_static_fp8_quant", "--quantized", "fp8_e4m3fn", "--hidden", "1024")
        self.assertEqual((document["apart"], document["rtol"]), (1, 0.125))
        self.assertTrue(document["pairs"][0]["attained"])
        subnormal = [one for one in document["no_bound_where"] if one["condition"] == "y is subnormal"]
        self.assertEqual([one["apart"] for one in subnormal], [8])

    def test_a_known_depth_and_order_make_it_smaller(self):
        deep = self.bound("rms_norm", "--dtype", "fp32", "--no-search")
        shallow = self.bound("rms_norm", "--dtype", "fp32", "--sum-depth", "25", "--no-search")
        self.assertEqual((deep["apart"], shallow["apart"]), (4110, 40))
        with open(self.path("order.json"), "w") as file:
            json.dump(serial_order(64), file)
        same = self.bound("rms_norm", "--hidden", "64", "--order", "order.json", "--no-search")
        self.assertEqual((same["apart"], same["rtol"], same["atol"]), (0, 0, 0))  # H is a power of two: one kernel
        off = self.bound("rms_norm", "--hidden", "64", "--order", "order.json", "--inverse-root-ulp", "2")
        self.assertEqual(off["apart"], 2)
        self.assertIn("has no order for", self.run_program("bound", "rms_norm", "--order", "order.json", code=2))

    def test_where_there_is_none(self):
        document = self.bound("rms_norm", "--epsilon", "-1e-3", code=1)
        self.assertFalse(document["exists"])
        self.assertIn("negative", document["reason"])
        example = document["no_bound_where"][0]
        self.assertEqual(example["condition"], "epsilon < 0")
        self.assertNotEqual(example["first"]["bits"], example["second"]["bits"])
        text = self.run_program("bound", "rms_norm", "--policies", "weight=fp32,weight=fp32_plus_one", code=1)
        self.assertIn("no bound exists: one policy multiplies by w, the other by 1 + w", text)
        self.assertIn("the policies are different functions: a weight of 0", text)
        text = self.run_program("bound", "rms_norm_dynamic_quant", "--hidden", "64")
        self.assertIn("the rows' scales: at most", text)
        self.run_program("bound", "rms_norm", "--hidden", "64", "--policies", "variance=activation,epsilon=maximum")

    def test_intervals_of_a_case(self):
        case = {"normproof_case": 1, "name": "row", "operation": "rms_norm", "dtype": "bf16", "weight_dtype": "bf16", "shape": [2, 64],
                "epsilon": 1e-6, "input": {"recipe": {"class": "normal", "seed": 3}}, "weight": {"recipe": {"class": "model_weights", "seed": 4}}}
        with open(self.path("case.json"), "w") as file:
            json.dump(case, file)
        found = self.bound("rms_norm", "--hidden", "64", "--case", "case.json", "--no-search")["intervals"]
        self.assertEqual((len(found["low"]), len(found["high"])), (128, 128))
        for low, high in zip(found["low"], found["high"]):
            self.assertLessEqual(bf16(low), bf16(high))

    def test_usage(self):
        self.run_program("bound", code=2)
        self.run_program("bound", "layer_norm", code=2)
        self.run_program("bound", "rms_norm", "--hidden", "0", code=2)
        self.assertIn("--policies", self.run_program("bound", "rms_norm", "--policies", "nobody", code=2))
        self.assertIn("--epsilon", self.run_program("bound", "rms_norm", "--epsilon", "small", code=2))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])

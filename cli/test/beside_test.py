#!/usr/bin/env python3
"""Drives `normproof check FUSED --beside UNFUSED` as a user would.

Usage: beside_test.py NORMPROOF [UNITTEST-ARGUMENT...]
Norms and codes are computed here, with an inverse RMS r of choice: nothing is shared with the program's own arithmetic.
"""
import json
import math
import random
import struct
import sys
import unittest

from program_test_case import ProgramTest, safetensors

ROWS, HIDDEN, BLOCK, EPSILON = 3, 8192, 128, 1e-6


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def to_bf16(value):
    """The bits of the nearest number, ties to even."""
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


def from_bf16(bits):
    return struct.unpack("<f", struct.pack("<I", bits << 16))[0]


def to_e4m3(value):
    """The code of the nearest number of e4m3fn, ties to even; |value| is at most 448."""
    sign, magnitude = (0x80 if math.copysign(1, value) < 0 else 0), abs(value)
    exponent = max(math.frexp(magnitude)[1] - 1, -6) if magnitude else -6
    steps = magnitude / 2.0 ** (exponent - 3)
    whole = math.floor(steps)
    whole += steps - whole > 0.5 or (steps - whole == 0.5 and whole % 2)
    return sign | ((exponent + 6) * 8 + whole)


def off_by(value, ulp):
    return struct.unpack("<f", struct.pack("<I", struct.unpack("<I", struct.pack("<f", value))[0] + ulp))[0]


class Norm:
    """A kernel whose r is off by so many ulp in each row, as another order of summation has it."""

    def __init__(self, ulp):
        draw = random.Random(24)
        self.x = [[to_bf16(draw.gauss(0, 1)) for _ in range(HIDDEN)] for _ in range(ROWS)]
        self.rows = []
        for row in self.x:
            values = [from_bf16(bits) for bits in row]
            root = off_by(f32(1 / math.sqrt(sum(value * value for value in values) / HIDDEN + EPSILON)), ulp)
            self.rows.append([to_bf16(f32(value * root)) for value in values])

    def quantized(self, block, scale=None):
        """Rows of codes, and of scales."""
        codes, scales = [], []
        for row in self.rows:
            y = [from_bf16(bits) for bits in row]
            of_row = [scale or f32(max(abs(value) for value in y[begin:begin + block]) / 448) for begin in range(0, HIDDEN, block)]
            inverses = [f32(1 / each) for each in of_row]
            scales.append(of_row)
            codes.append([to_e4m3(min(max(f32(value * inverses[j // block]), -448), 448)) for j, value in enumerate(y)])
        return codes, scales

    def input(self):
        return ("BF16", [ROWS, HIDDEN], b"".join(struct.pack(f"<{HIDDEN}H", *row) for row in self.x))

    def unfused(self, **metadata):
        out = b"".join(struct.pack(f"<{HIDDEN}H", *row) for row in self.rows)
        return safetensors({"x": self.input(), "out": ("BF16", [ROWS, HIDDEN], out)}, {"op": "rms_norm", "epsilon": "1e-6", **metadata})

    def fused(self, operation, codes, scales, **metadata):
        tensors = {"x": self.input(), "out": ("F8_E4M3", [ROWS, HIDDEN], b"".join(map(bytes, codes)))}
        if operation == "rms_norm_static_fp8_quant":
            tensors["scale"] = ("F32", [1], struct.pack("<f", scales[0][0]))
        else:
            tensors["scales"] = ("F32", [ROWS, len(scales[0])], b"".join(struct.pack(f"<{len(row)}f", *row) for row in scales))
        return safetensors(tensors, {"op": operation, "epsilon": "1e-6", **metadata})


NEAR, LOW, HIGH = Norm(0), Norm(-1200), Norm(1200)  # orders of summation move r of 8192 squares by up to some 2000
STATIC = f32(0.0117)
KINDS = [("rms_norm_static_fp8_quant", HIDDEN, STATIC), ("rms_norm_dynamic_quant", HIDDEN, None),
         ("rms_norm_block_quant", BLOCK, None)]


class Beside(ProgramTest):
    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content)
        return name

    def check(self, fused, *arguments, expect):
        """The report, and what was printed."""
        text = self.run_program("check", fused, "--json", "report.json", *arguments, code=expect)
        if expect == 2:
            return None, text
        with open(self.path("report.json")) as file:
            return json.load(file)["files"][0], text

    def test_codes_of_another_order_are_legal(self):
        unfused = self.write("unfused.safetensors", NEAR.unfused())
        for operation, block, scale in KINDS:
            with self.subTest(operation):
                own, _ = NEAR.quantized(block, scale)
                codes, scales = HIGH.quantized(block, scale)
                differing = sum(a != b for one, other in zip(own, codes) for a, b in zip(one, other))
                self.assertGreater(differing, 0)
                report, text = self.check(self.write("f.safetensors", HIGH.fused(operation, codes, scales)), "--beside", unfused, expect=0)
                found = report["codes"]
                self.assertIn(f"not looked at: {report['not_looked_at'][0]}", text)
                self.assertEqual((found["all"], found["differ"], found["differ_legally"], found["illegal"]),
                                 (ROWS * HIDDEN, differing, differing, 0))
                self.assertTrue(differing <= found["may_differ"] < ROWS * HIDDEN / 4, found)
                self.assertTrue(report["conforms"] and report["fused"]["conforms"] and report["unfused"]["conforms"])
                self.assertIn(f"differ {differing}, legal {differing}, illegal 0", text)
                # The codes of that norm instead of its numbers say the same.
                codes, scales = NEAR.quantized(block, scale)
                other = self.write("codes.safetensors", NEAR.fused(operation, codes, scales))
                again, _ = self.check("f.safetensors", "--beside", other, expect=0)
                self.assertEqual((again["codes"], again["scales"]), (found, report["scales"]))
                self.assertTrue(again["unfused_is_quantized"])

    def test_an_illegal_flip_is_named(self):
        unfused = self.write("unfused.safetensors", NEAR.unfused())
        for operation, block, scale in KINDS:
            with self.subTest(operation):
                codes, scales = NEAR.quantized(block, scale)
                fixed = 77  # its y is not near the end of what its code is for
                right = codes[1][fixed]
                self.assertEqual([LOW.rows[1][fixed], HIGH.rows[1][fixed]], [NEAR.rows[1][fixed]] * 2)
                codes[1][fixed] = right ^ 2
                report, text = self.check(self.write("f.safetensors", NEAR.fused(operation, codes, scales)), "--beside", unfused, expect=1)
                self.assertEqual((report["codes"]["illegal"], report["codes"]["differ"]), (1, 1))
                named = report["illegal_codes"][0]
                self.assertEqual((named["row"], named["column"], named["fused"], named["unfused"]),
                                 (1, fixed, f"0x{right ^ 2:02x}", f"0x{right:02x}"))
                self.assertIn(f"0x{right:02x}", named["reachable"])
                self.assertNotIn(f"0x{right ^ 2:02x}", named["reachable"])
                self.assertIn(f"illegal: row 1, column {fixed}: fused ", text)
                self.assertIn("diagnosis: 1 codes are not legal", text)
                self.assertEqual((report["fused"]["conforming_rows"], report["unfused"]["conforms"]), (ROWS - 1, True))

    def test_an_illegal_scale_is_named(self):
        unfused = self.write("unfused.safetensors", NEAR.unfused())
        for operation, block, _ in KINDS[1:]:
            codes, scales = NEAR.quantized(block)
            scales[2][-1] = off_by(scales[2][-1], 1)
            report, text = self.check(self.write("f.safetensors", NEAR.fused(operation, codes, scales)), "--beside", unfused, expect=1)
            self.assertEqual((report["scales"]["illegal"], report["scales"]["differ"]), (1, 1))
            self.assertEqual(report["codes"]["not_compared"], block)
            self.assertEqual(report["illegal_scales"][0]["row"], 2)
            self.assertIn(f"illegal: row 2, columns {HIDDEN - block} to {HIDDEN - 1}: fused ", text)

    def test_codes_that_no_one_root_gives_together(self):
        low, scales = LOW.quantized(HIDDEN, STATIC)
        high, _ = HIGH.quantized(HIDDEN, STATIC)
        mixed = [[other[j] if j % 2 else one[j] for j in range(HIDDEN)] for one, other in zip(low, high)]
        fused = self.write("f.safetensors", NEAR.fused(KINDS[0][0], mixed, scales))
        report, text = self.check(fused, "--beside", self.write("u.safetensors", NEAR.unfused()), expect=1)
        self.assertEqual(report["codes"]["illegal"], 0)
        self.assertLess(report["fused"]["conforming_rows"], ROWS)
        self.assertIn("each code is legal alone, but no one r explains all of a row", text)

    def test_unfused_outputs_are_judged_too(self):
        wrong = Norm(0)
        wrong.rows[0][5] ^= 4
        codes, scales = NEAR.quantized(HIDDEN, STATIC)
        fused = self.write("f.safetensors", NEAR.fused(KINDS[0][0], codes, scales))
        report, text = self.check(fused, "--beside", self.write("u.safetensors", wrong.unfused()), expect=1)
        self.assertEqual((report["fused"]["conforms"], report["unfused"]["conforms"]), (True, False))
        self.assertIn("diagnosis: the unfused outputs violate their policy", text)
        # The first rows alone, and a policy of its own.
        report, _ = self.check(fused, "--beside", self.write("u.safetensors", NEAR.unfused()), "--rows", "2", "--beside-policy",
                               "weight=fp32", expect=0)
        self.assertEqual((report["codes"]["all"], report["unfused"]["policy"]), (2 * HIDDEN, "weight=fp32"))

    def test_what_does_not_belong_together_is_refused(self):
        codes, scales = NEAR.quantized(HIDDEN, STATIC)
        fused = self.write("f.safetensors", NEAR.fused(KINDS[0][0], codes, scales))
        other = Norm(0)
        other.x[0][0] ^= 1
        unfused = self.write("u.safetensors", NEAR.unfused())
        for arguments, message in (((self.write("o.safetensors", other.unfused()),), "its x is another one"),
                                   ((self.write("e.safetensors", NEAR.unfused(epsilon="1e-5")),), "its epsilon is another one"),
                                   ((unfused, "--canonical"), "in one order of summation no code may differ"),
                                   ((unfused, fused), "belongs to one file, got 2")):
            _, text = self.check(fused, *(("--beside",) + arguments[:1] + arguments[1:]), expect=2)
            self.assertIn(message, text)
        _, text = self.check(unfused, "--beside", fused, expect=2)
        self.assertIn("rms_norm does not quantize", text)
        codes, scales = NEAR.quantized(HIDDEN, STATIC)
        tensors = {"x": NEAR.input(), "out": ("F8_E4M3", [ROWS, HIDDEN], b"".join(map(bytes, codes))),
                   "scale": ("F32", [1], struct.pack("<f", STATIC))}
        centred = self.write("c.safetensors", safetensors(tensors, {"op": "layer_norm_static_fp8_quant", "epsilon": "1e-6"}))
        _, text = self.check(centred, "--beside", unfused, expect=2)
        self.assertIn("--beside does not compare layer_norm_static_fp8_quant", text)
        _, text = self.check(fused, "--beside-policy", "native", expect=2)
        self.assertIn("--beside FILE, which is missing", text)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])

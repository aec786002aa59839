#!/usr/bin/env python3
"""Drives `normproof check`, `identify`, `minimize` and `replay --dump` as a user would.

Usage: dump_commands_test.py NORMPROOF CORPUS [UNITTEST-ARGUMENT...]
Writes its dumps itself, byte by byte from the format's description, with values computed by hand: nothing is shared
with the program's own reader, writer or oracle.
"""
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import unittest

from program_test_case import PROGRAM, safetensors

CORPUS = sys.argv[2]

ONE, TWO, HALF = 0x3F80, 0x4000, 0x3F00  # bf16


def u16(values):
    return struct.pack(f"<{len(values)}H", *values)


def rms_dump(x, weight, out, shape, **metadata):
    hidden = shape[-1]
    return safetensors({"x": ("BF16", shape, u16(x)), "weight": ("BF16", [hidden], u16(weight)),
                        "out": ("BF16", shape, u16(out))}, {"op": "rms_norm", "epsilon": "1e-6", **metadata})


# The smallest input on which an fp32 weight multiply shows: x = (1.03125, 1), w = (1.2578125, 1). The native rounding
# gives 1.28125 = 0x3fa4, the fp32 multiply 1.2734375 = 0x3fa3. r is 0.98449886, and 1 * r rounds to 0.984375 = 0x3f7c.
B1 = dict(x=[0x3F84, ONE], weight=[0x3FA1, ONE], shape=[1, 2])
B1_NATIVE, B1_FP32 = [0x3FA4, 0x3F7C], [0x3FA3, 0x3F7C]


class DumpCommands(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, content, name="dump.safetensors"):
        with open(self.path(name), "wb") as file:
            file.write(content)
        return self.path(name)

    def run_program(self, *arguments, expect):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("NORMPROOF_PROGRAM")}
        result = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=120,
                                cwd=self.folder.name, env=environment)
        self.assertEqual(result.returncode, expect, result.stdout + result.stderr)
        return result.stdout + result.stderr

    # --- check ---

    def test_conforming_outputs(self):
        file = self.write(rms_dump(**B1, out=B1_NATIVE))
        output = self.run_program("check", file, expect=0)
        self.assertIn("rms_norm bf16, weight bf16, 1 x 2, epsilon 1e-06", output)
        self.assertIn("rows: 1, conforming 1, rounding violations 0, scale violations 0", output)
        self.assertIn("r at most 0 ulp from the correctly rounded root", output)
        self.run_program("check", "--canonical", file, expect=0)

    def test_a_case_file_says_how_it_is_judged(self):
        def file(name, demand, out):
            case = {"normproof_case": 1, "operation": "rms_norm", "dtype": "bf16", "weight_dtype": "bf16", "shape": [1, 2], "epsilon": 1e-6,
                    "input": {"bits": ["3f84 3f80"]}, "weight": {"bits": ["3fa1 3f80"]}, "outputs": {"out": {"bits": [out]}}, "demand": demand}
            with open(self.path(name), "w") as opened:
                json.dump(case, opened)
            return self.path(name)
        fp32 = file("fp32.json", {"policy": "weight=fp32"}, "3fa3 3f7c")
        self.assertIn("any order of summation, policy as the file demands", self.run_program("check", fp32, expect=0))
        output = self.run_program("check", fp32, "--policy", "native", expect=1)
        self.assertNotIn("as the file demands", output)
        both = file("both.json", {"policy": "weight=fp32", "judge": "canonical"}, "3fa3 3f7c")
        self.assertIn("canonical order, both as the file demands", self.run_program("check", both, expect=0))
        output = self.run_program("check", both, "--witness", expect=0)
        self.assertIn("any order of summation, policy as the file demands", output)
        native = file("native.json", {"judge": "canonical"}, "3fa4 3f7c")
        self.assertIn("canonical order, order as the file demands", self.run_program("check", native, expect=0))
        self.run_program("minimize", file("violating.json", {"policy": "weight=fp32"}, "3fa4 3f7c"), "--output", self.path("small.json"), expect=1)
        self.assertIn("policy as the file demands", self.run_program("check", self.path("small.json"), expect=1))
        refused = self.run_program("check", file("wrong.json", {"policy": "wait=fp32"}, "3fa4 3f7c"), expect=2)
        self.assertIn("$.demand.policy: ", refused)

    def test_violating_outputs_come_with_a_certificate(self):
        file = self.write(rms_dump(**B1, out=B1_FP32))
        output = self.run_program("check", file, "--json", self.path("report.json"), expect=1)
        self.assertIn("policy native; r within 2 ulp, any order of summation", output)
        self.assertIn("rounding violations 1", output)
        self.assertIn("column 0: x = 1.03125 (0x3f840000), w = 1.2578125 (0x3fa1), got 1.2734375 (0x3fa3)", output)
        self.assertIn("50.0 % equal, 50.0 % 1 ulp", output)
        with open(self.path("report.json")) as file_object:
            report = json.load(file_object)["files"][0]
        self.assertFalse(report["conforms"])
        self.assertEqual(report["rounding_violations"] + report["scale_violations"], 1)
        certificate = report["certificates"][0]
        self.assertIn("0x3fa3", [element["got"] for element in certificate["elements"]])
        self.assertLessEqual(len(certificate["elements"]), 2)
        self.assertEqual([bin["elements"] for bin in report["differences"]["bins"]], [1, 1, 0, 0, 0, 0, 0])
        canonical = self.run_program("check", "--canonical", file, expect=1)
        self.assertIn("out[row 0, column 0]: got 0x3fa3 (1.2734375), the policy says 0x3fa4 (1.28125)", canonical)

    def test_one_flipped_bit_is_named(self):
        case = os.path.join(CORPUS, "models", "h2048-rms-norm.json")
        self.run_program("replay", case, "--target", "host", "--dump", self.path("whole.safetensors"), expect=0)
        with open(self.path("whole.safetensors"), "rb") as file:
            content = bytearray(file.read())
        size = struct.unpack_from("<Q", content)[0]
        header = json.loads(content[8:8 + size])
        at = 8 + size + header["out"]["data_offsets"][0] + 2 * (2048 + 1000)  # row 1, column 1000
        right = struct.unpack_from("<H", content, at)[0]
        struct.pack_into("<H", content, at, right ^ 0x0004)
        output = self.run_program("check", self.write(content, "one bit.safetensors"), expect=1)
        self.assertIn("wrong: 1 of 6144 elements", output)
        self.assertRegex(output, rf"row 1, column 1000\]: got 0x{right ^ 4:04x} \(.*says 0x{right:04x} \(.*, 4 ulp apart")
        self.assertRegex(output, r"column 1000: .*;\n +the correctly rounded r gives .*, 4 ulp apart\n")
        self.assertIn("explain 'one bit.safetensors' --row 1 --column 1000".replace(
            "one bit", self.path("one bit")), output)
        self.assertNotIn("%", output)
        self.assertNotIn("identify", output)

    def test_shares_are_not_rounded_to_all_or_nothing(self):
        # 9 of 40,960 elements wrong: too many to list, too few for a tenth of a percent.
        out = [ONE] * 40960
        for column in range(9):
            out[1000 * column] = TWO
        output = self.run_program("check", self.write(rms_dump([ONE] * 40960, [ONE] * 40960, out, [1, 40960])), expect=1)
        self.assertIn("more than 99.9 % equal, less than 0.1 % 17 to 256 ulp", output)

    def test_the_policy_comes_from_the_option_else_from_the_file(self):
        file = self.write(rms_dump(**B1, out=B1_FP32, policy="weight=fp32"))
        self.assertIn("policy weight=fp32", self.run_program("check", file, expect=0))
        self.run_program("check", file, "--policy", "native", expect=1)
        self.assertIn("--policy", self.run_program("check", file, "--policy", "weight=fp64", expect=2))
        spoilt = self.write(rms_dump(**B1, out=B1_FP32, policy="sum=nonsense"), "spoilt.safetensors")
        self.assertIn("spoilt.safetensors: policy: ", self.run_program("check", spoilt, expect=2))

    def test_a_verdict_that_says_little_says_so(self):
        case, dump = os.path.join(CORPUS, "models", "h2048-rms-norm.json"), self.path("native.safetensors")
        self.run_program("replay", case, "--dump", dump, expect=0)
        output = self.run_program("check", dump, "--policy", "variance=activation", "--json", self.path("little.json"),
                                  "--html", self.path("little.html"), expect=0)
        self.assertRegex(output, r"this says little: the policy leaves r so much freedom here that \d+ % of random outputs conform")
        self.assertIn("conforming 1 (which says little of 1)", output)
        with open(self.path("little.html")) as page:
            self.assertIn("this says little", page.read())
        with open(self.path("little.json")) as verdicts:
            self.assertGreater(json.load(verdicts)["files"][0]["random_outputs_accepted"], 0.5)
        output = self.run_program("check", dump, "--json", self.path("much.json"), expect=0)
        self.assertNotIn("says little", output)
        with open(self.path("much.json")) as verdicts:
            self.assertEqual(json.load(verdicts)["files"][0]["random_outputs_accepted"], 0)

    def test_epsilon_and_operation_come_from_the_option_else_from_the_file(self):
        # A row of ones: epsilon 3 makes r = 1/2.
        row = dict(x=[ONE] * 4, weight=[ONE] * 4, shape=[4])
        file = self.write(rms_dump(**row, out=[HALF] * 4))
        output = self.run_program("check", file, expect=1)
        self.assertIn("scale violations 1", output)
        self.assertIn("epsilon 3", self.run_program("check", file, "--epsilon", "3", expect=0))
        self.run_program("check", file, "--epsilon=0x40400000", expect=0)
        self.assertIn("--epsilon", self.run_program("check", file, "--epsilon", "three", expect=2))
        self.assertIn("residual: missing", self.run_program("check", file, "--op", "fused_add_rms_norm", expect=2))
        self.run_program("check", file, "--op", "batch_norm", expect=2)

    def test_the_inverse_root_model(self):
        # fp32, no weight: y = x * r shows r itself. The mean square of (1, 7) is 25: r = 0.2 = 0x3e4ccccd.
        def dump(r_bits):
            seven = struct.unpack("<f", struct.pack("<I", r_bits))[0] * 7
            content = struct.pack("<I", r_bits) + struct.pack("<f", seven)
            return safetensors({"x": ("F32", [1, 2], struct.pack("<2f", 1, 7)), "out": ("F32", [1, 2], content)},
                               {"op": "rms_norm", "epsilon": "0"})
        exact = self.write(dump(0x3E4CCCCD), "exact.safetensors")
        self.run_program("check", exact, "--inverse-root-ulp", "0", expect=0)
        for distance in (1, 2):
            near = self.write(dump(0x3E4CCCCD + distance), f"near{distance}.safetensors")
            self.assertIn(f"r at most {distance} ulp", self.run_program("check", near, expect=0))
            self.assertIn("scale violations 1",
                          self.run_program("check", near, "--inverse-root-ulp", str(distance - 1), expect=1))
        far = self.write(dump(0x3E4CCCCD + 3), "far.safetensors")
        self.assertIn("at the r that fits best: 100.0 % 1 ulp", self.run_program("check", far, expect=1))
        self.assertIn("none of the", self.run_program("identify", far, expect=1))
        self.assertIn("policy: native", self.run_program("identify", far, "--inverse-root-ulp", "3", expect=0))

    def test_the_depth_of_the_sum(self):
        # 4096^2 = 2^24 and 1024 ones: a serial sum loses them all, one of depth 11 does not. y = x * r shows r itself.
        serial = struct.unpack("<f", struct.pack("<f", (1025 / 2 ** 24) ** 0.5))[0]
        x = [4096.0] + [1.0] * 1024
        tensors = {"x": ("F32", [1, 1025], struct.pack("<1025f", *x)),
                   "out": ("F32", [1, 1025], struct.pack("<1025f", *[value * serial for value in x]))}
        file = self.write(safetensors(tensors, {"op": "rms_norm", "epsilon": "0"}))
        self.assertIn("any order of summation", self.run_program("check", file, expect=0))
        output = self.run_program("check", file, "--sum-depth", "11", expect=1)
        self.assertIn("at most 11 additions deep", output)
        self.assertIn("scale violations 1", output)
        self.run_program("check", file, "--policy", "sum_depth=11", expect=1)
        self.run_program("check", file, "--sum-depth", "1024", expect=0)

    def test_flush_to_zero(self):
        # (2^-70)^2 is subnormal in fp32; flushed, the mean is 0 and r infinite.
        tensors = {"x": ("F32", [1, 2], struct.pack("<2f", 2.0 ** -70, -2.0 ** -70)),
                   "out": ("F32", [1, 2], struct.pack("<2f", float("inf"), -float("inf")))}
        file = self.write(safetensors(tensors, {"op": "rms_norm", "epsilon": "0"}))
        self.run_program("check", file, expect=1)
        self.assertIn("flush to zero allowed", self.run_program("check", file, "--flush-to-zero", expect=0))

    def test_residual_out_is_judged_bitwise(self):
        tensors = {"x": ("BF16", [1, 2], u16([ONE, ONE])), "residual": ("BF16", [1, 2], u16([ONE, ONE])),
                   "out": ("BF16", [1, 2], u16([ONE, ONE])), "residual_out": ("BF16", [1, 2], u16([TWO, TWO]))}
        metadata = {"op": "fused_add_rms_norm", "epsilon": "0"}
        self.run_program("check", self.write(safetensors(tensors, metadata)), expect=0)
        tensors["residual_out"] = ("BF16", [1, 2], u16([TWO, ONE]))
        output = self.run_program("check", self.write(safetensors(tensors, metadata)), expect=1)
        self.assertIn("residual_out[row 0, column 1]: got 0x3f80 (1), the policy says 0x4000 (2)", output)

    def test_a_quantized_dump(self):
        # y = 1, scale 1/2: q = 2 = 0x40 in e4m3.
        tensors = {"x": ("BF16", [1, 4], u16([ONE] * 4)), "scale": ("F32", [], struct.pack("<f", 0.5)),
                   "out": ("F8_E4M3", [1, 4], bytes([0x40] * 4))}
        metadata = {"op": "rms_norm_static_fp8_quant", "epsilon": "0"}
        self.assertIn("out fp8_e4m3fn, scale 0.5", self.run_program("check", self.write(safetensors(tensors, metadata)),
                                                                    expect=0))
        tensors["out"] = ("F8_E4M3", [1, 4], bytes([0x40, 0x40, 0x38, 0x40]))
        self.run_program("check", self.write(safetensors(tensors, metadata)), expect=1)

    def test_row_numbers_hold_across_threads_and_blocks(self):
        # 4,096 rows of 64 ones; one wrong element in row 4,000 and one in row 9.
        rows, hidden = 4096, 64
        out = [ONE] * (rows * hidden)
        out[4000 * hidden + 5] = TWO
        out[9 * hidden + 7] = TWO
        file = self.write(rms_dump([ONE] * (rows * hidden), [ONE] * hidden, out, [rows, hidden]))
        for threads in ("1", "3"):
            output = self.run_program("check", file, "--jobs", threads, "--json", self.path("r.json"), expect=1)
            with open(self.path("r.json")) as report_file:
                report = json.load(report_file)["files"][0]
            self.assertEqual(report["conforming_rows"], rows - 2)
            self.assertEqual([c["row"] for c in report["certificates"]], [9, 4000])
            self.assertEqual([[e["column"] for e in c["elements"] if e["got"] == "0x4000"]
                              for c in report["certificates"]], [[7], [5]])
            self.assertIn("violation in row 4000", output)
        self.run_program("check", file, "--rows", "9", expect=0)
        self.run_program("check", file, "--rows", "10", expect=1)
        self.run_program("check", file, "--canonical", expect=1)

    def test_leading_dimensions_and_no_rows(self):
        file = self.write(rms_dump([ONE] * 24, [ONE] * 4, [ONE] * 24, [2, 3, 4]))
        self.assertIn("6 x 4", self.run_program("check", file, expect=0))
        self.run_program("check", self.write(rms_dump([], [ONE] * 4, [], [0, 4])), expect=0)

    def test_case_files_with_outputs(self):
        case = {"normproof_case": 1, "operation": "rms_norm", "dtype": "bf16", "weight_dtype": "bf16", "shape": [1, 2],
                "epsilon": 1e-6, "input": {"bits": ["3f84 3f80"]}, "weight": {"bits": ["3fa1 3f80"]}}
        file = self.write(json.dumps(case).encode(), "case.json")
        self.assertIn("$.outputs: missing", self.run_program("check", file, expect=2))
        case["outputs"] = {"out": {"bits": ["3fa4 3f7c"]}}
        file = self.write(json.dumps(case).encode(), "case.json")
        self.run_program("check", file, expect=0)
        self.assertIn("epsilon 3", self.run_program("check", file, "--epsilon", "3", expect=1))
        self.assertIn("$.operation", self.run_program("check", file, "--op", "fused_add_rms_norm", expect=2))
        case["outputs"] = {"out": {"bits": ["3fa3 3f7c"]}}
        self.run_program("check", self.write(json.dumps(case).encode(), "case.json"), expect=1)

    def test_malformed_files_are_usage_errors_that_name_the_field(self):
        sound = rms_dump(**B1, out=B1_NATIVE)
        for content, message in [
                (b"", "header length"),
                (sound[:-1], "data_offsets"),
                (sound + b"x", "header: the tensors cover"),
                (struct.pack("<Q", 1 << 60) + sound[8:], "header length"),
                (sound.replace(b'"BF16"', b'"BF17"', 1), 'unknown dtype "BF17"'),
                (sound.replace(b'"weight"', b'"Weight"'), "Weight: unknown tensor"),
                (sound.replace(b'"1e-6"', b'"1e6x"'), "epsilon: expected"),
                (sound.replace(b'"rms_norm"', b'"rms_mean"'), "op: expected one of")]:
            output = self.run_program("check", self.write(content), expect=2)
            self.assertIn("dump.safetensors: ", output)
            self.assertIn(message, output)
        x, weight, out = u16(B1["x"]), u16(B1["weight"]), u16(B1_NATIVE)
        metadata = {"op": "rms_norm", "epsilon": "1e-6"}
        good = {"x": ("BF16", [1, 2], x), "weight": ("BF16", [2], weight), "out": ("BF16", [1, 2], out)}
        for changed, message in [
                ({"x": None}, "x: missing"),
                ({"out": None}, "out: missing"),
                ({"out": ("BF16", [1, 3], out)}, "out.data_offsets: [8, 12] holds 4 bytes"),
                ({"out": ("BF16", [2, 1], out)}, "out.shape: expected the shape of x, [1, 2], got [2, 1]"),
                ({"out": ("BF16", [1 << 62, 4], out)}, "out.shape: the number of elements overflows"),
                ({"out": ("F16", [1, 2], out)}, "out.dtype: expected BF16, got F16"),
                ({"weight": ("F16", [2], weight)}, "weight.dtype: expected BF16, F32, got F16"),
                ({"weight": ("BF16", [1], u16([ONE]))}, "weight.shape: expected the hidden size of x, [2], got [1]")]:
            tensors = {name: tensor for name, tensor in {**good, **changed}.items() if tensor is not None}
            self.assertIn(message, self.run_program("check", self.write(safetensors(tensors, metadata)), expect=2))
        for wrong, message in [(b"[6, 10]", "overlaps the tensor before it"), (b"[8, 400]", "reaches beyond the 12 bytes"),
                               (b"[12, 8]", "the end lies before the begin")]:
            text = sound[8:].replace(b"[8, 12]", wrong)
            content = struct.pack("<Q", len(text) - 12) + text
            self.assertIn(message, self.run_program("check", self.write(content), expect=2))
        self.run_program("check", self.path("absent.safetensors"), expect=3)
        self.run_program("check", expect=2)

    def test_a_bad_file_does_not_hide_a_violation(self):
        bad = self.write(b"rubbish", "bad.safetensors")
        wrong = self.write(rms_dump(**B1, out=B1_FP32), "wrong.safetensors")
        right = self.write(rms_dump(**B1, out=B1_NATIVE), "right.safetensors")
        output = self.run_program("check", "--quiet", bad, wrong, right, "--json", self.path("r.json"), expect=1)
        self.assertIn("files: 3, conforming 1, violating 1, not judged 1", output)
        self.assertNotIn("right.safetensors", output)
        with open(self.path("r.json")) as report:
            self.assertEqual([("error" in file, file.get("conforms")) for file in json.load(report)["files"]],
                             [(True, None), (False, False), (False, True)])

    # --- identify ---

    def test_identify_reports_what_the_inputs_cannot_tell(self):
        # Weights of 1 and a row of ones: every weight policy but 1 + w gives the same.
        file = self.write(rms_dump([ONE] * 8, [ONE] * 8, [ONE] * 8, [1, 8]))
        output = self.run_program("identify", file, expect=0)
        self.assertIn("policy: native  (not the only one", output)
        self.assertIn("native or activation or fp32", output)
        self.assertIn("activation: the same arithmetic: the weight's dtype is bf16", output)
        self.assertIn("fp32: explains every row as well: all weights are powers of two", output)
        self.assertIn("not fp32_plus_one:", output)

    def test_identify_names_none_of_the_known(self):
        file = self.write(rms_dump([ONE] * 8, [ONE] * 8, [ONE] * 7 + [0xBF80], [1, 8]))
        output = self.run_program("identify", file, expect=1)
        self.assertRegex(output, r"none of the \d+ known policies explains every row")
        self.assertIn("closest: native, to which 0 of 1 rows conform", output)
        self.assertIn("got -1 (0xbf80)", output)
        # One row of an fp32 multiply, one that is wrong under every policy.
        file = self.write(rms_dump([0x3F84, ONE] * 2, B1["weight"], B1_FP32 + [TWO, 0xBF80], [2, 2]))
        output = self.run_program("identify", file, expect=1)
        self.assertIn("closest: weight=fp32, to which 1 of 2 rows conform", output)

    def test_identify_says_what_r_the_rows_show(self):
        # Rows of 512 in bf16, r twice as large: under variance=activation nearly any r is admitted there.
        value = lambda n: 0x3F00 + (n * 2654435761 >> 12) % 0x100  # 0.5 to 2
        x = [value(n) for n in range(4 * 512)]
        weight = [ONE] * 512
        case = self.write(rms_dump(x, weight, x, [4, 512]))
        output = self.run_program("identify", case, expect=1)
        self.assertIn("r = 1 in every row: nothing is normalized", output)
        self.assertRegex(output, r"variance=activation admits the r of every row, and \d+ % of random outputs")
        self.assertNotIn("  policy:", output)

    def test_explain_says_that_nothing_was_summed(self):
        # The tail of a row of one element is all there is.
        output = self.run_program("explain", self.write(rms_dump([ONE], [ONE], [0x447A], [1, 1])), expect=1)
        self.assertIn("another r in the whole row: no square is summed: r = 1 / sqrt(epsilon)", output)

    def test_identify_a_dump_of_the_production_kernels(self):
        case = os.path.join(CORPUS, "models", "h2048-rms-norm.json")
        self.run_program("replay", case, "--dump", self.path("host.safetensors"), expect=0)
        self.run_program("check", "--canonical", self.path("host.safetensors"), expect=0)
        output = self.run_program("identify", self.path("host.safetensors"), expect=0)
        self.assertIn("policy: native  (not the only one", output)  # 16 bits do not show the division by the root
        self.assertIn("  root                 multiply or divide\n", output)
        self.assertIn("    native: rnd_T(rnd_W(rnd_W(fl(x*r)) * w)), as in vLLM IR spec", output)
        self.assertIn("not fp32:\n      rounding violation in row", output)

    def test_identify_finds_the_same_on_any_number_of_threads(self):
        case = os.path.join(CORPUS, "models", "h2048-rms-norm.json")
        self.run_program("replay", case, "--dump", self.path("host.safetensors"), expect=0)
        far = self.write(rms_dump([0x3F84, ONE] * 2, B1["weight"], B1_FP32 + [TWO, 0xBF80], [2, 2]))
        found = set()
        for jobs in ("1", "3"):
            output = self.run_program("identify", self.path("host.safetensors"), far, "--jobs", jobs, "--json", self.path("found.json"), expect=1)
            with open(self.path("found.json")) as file:
                found.add((output, json.dumps(json.load(file)["files"])))
        self.assertEqual(len(found), 1)
        self.run_program("identify", far, "--jobs", "0", expect=2)

    def test_identify_the_production_kernels(self):
        output, again = (self.run_program("identify", "--target", "host", "--dtype", "fp16", "--op", "fused_add_rms_norm", "--jobs", jobs,
                                          expect=0) for jobs in ("3", "1"))
        self.assertEqual(output, again)
        lines = [line for line in output.splitlines() if line.startswith("  fused_add_rms_norm fp16")]
        self.assertEqual(len(lines), 6, output)
        for line in lines:
            # 16 bits do not tell a division by the root from a product with its inverse.
            self.assertRegex(line, r" native( \(or .*root=divide.*\))?$")
        for trait in ["the same row alone and among 300             same bits",
                      "pointers shifted by one element              same bits",
                      "one NaN in a row                             NaN in 8 of 8 outputs",
                      "a row of zeros, epsilon 1e-6                 0 in 8 of 8 outputs",
                      "no rows                                      accepted",
                      "where epsilon is added                       to the mean square, inside the root",
                      "by what the sum of squares is divided        H"]:
            self.assertIn(trait, output)
        self.run_program("identify", expect=2)
        self.run_program("identify", "--target", "nobody", expect=3)

    def test_identify_and_minimize_a_mutant_of_one_path(self):
        mutant = "mutant:B1-fp32-weight-multiply-vectorized"
        if mutant not in self.run_program("list", expect=0):
            self.skipTest(f"{mutant} is not built")
        output = self.run_program("identify", "--target", mutant, "--dtype", "bf16", "--weight", "bf16", "--op",
                                  "rms_norm", "--html", self.path("page.html"), expect=1)
        self.assertRegex(output, r"rms_norm bf16, weight bf16 +aligned  weight=fp32( \(or weight=fp32,root=divide\))?\n")
        self.assertRegex(output, r"rms_norm bf16, weight bf16 +shifted  native( \(or root=divide\))?\n")
        self.assertIn("aligned and shifted rows are rounded differently: weight=fp32 and native", output)
        with open(self.path("page.html")) as page:
            self.assertIn("1 rounded otherwise where they are aligned", page.read())
        self.assertRegex(output, r"pointers shifted by one element +other bits\n")
        case = os.path.join(CORPUS, "models", "h2048-rms-norm.json")
        self.run_program("minimize", case, "--target", mutant, "--output", self.path("small.json"), expect=1)
        with open(self.path("small.json")) as small:
            self.assertEqual(json.load(small)["shape"], [1, 8])
        self.run_program("replay", self.path("small.json"), "--target", mutant, expect=1)

    def test_identify_demands_one_policy_of_all_operations(self):
        mutant = "mutant:B1-fp32-weight-multiply-fp8"
        if mutant not in self.run_program("list", expect=0):
            self.skipTest(f"{mutant} is not built")
        arguments = ("identify", "--target", mutant, "--dtype", "bf16", "--weight", "bf16")
        output = self.run_program(*arguments, expect=0)
        self.assertIn("no one policy: axis weight has no value that fits every call (--demand one-policy makes", output)
        self.run_program(*arguments, "--demand", "one-policy", expect=1)
        self.run_program(*arguments, "--demand", "one-policy", "--op", "rms_norm", expect=0)
        self.run_program(*arguments, "--demand", "everything", expect=2)

    # --- explain ---

    def test_explain_takes_a_dump_and_shows_a_wrong_element_of_the_policy(self):
        case = os.path.join(CORPUS, "models", "h2048-rms-norm.json")
        file = self.path("host.safetensors")
        self.run_program("replay", case, "--target", "host", "--dump", file, expect=0)
        self.assertIn(": equal", self.run_program("explain", file, expect=0))
        self.assertIn("target host is not run", self.run_program("explain", file, "--target", "host", expect=0))
        for arguments in ((file,), (case, "--target", "host", "--judge", "witness")):
            output = self.run_program("explain", *arguments, "--policy", "weight=fp32", expect=1)
            self.assertIn("policy weight=fp32\nelement", output)
            self.assertNotIn(": equal", output)
            self.assertIn("these bits come from policy weight=native", output)

    # --- minimize ---

    def test_a_minimized_dump_tells_the_same_story(self):
        # An fp32 weight multiply: native outputs judged by the other policy tell the same story the other way round.
        case = os.path.join(CORPUS, "models", "h2048-rms-norm.json")
        whole, small = self.path("whole.safetensors"), self.path("small.json")
        self.run_program("replay", case, "--target", "host", "--dump", whole, expect=0)
        story = {}
        for file in whole, small:
            judged_by = ("--policy", "weight=fp32")
            checked = self.run_program("check", file, *judged_by, expect=1)
            self.assertRegex(checked, r"fits best: \d+\.\d % equal, \d+\.\d % 1 ulp\n")
            self.assertRegex(self.run_program("identify", file, expect=0), r"  policy: native(\n|  \(not the only one)")
            story[file] = re.search(r"got (\S+) .*\n +the correctly rounded r gives (\S+) \S+, 1 ulp apart", checked).groups()
            if file == whole:
                output = self.run_program("minimize", whole, *judged_by, "--output", small, expect=1)
                self.assertRegex(output, r"\d+ of 2048 columns show the same\n")
        self.assertEqual(story[small], story[whole])
        with open(small) as file:
            case = json.load(file)
        self.assertEqual(case["shape"][0], 1)
        self.assertLessEqual(case["shape"][1], 16)

    def test_minimize_keeps_a_row_that_no_part_speaks_for(self):
        # Row 1 of 2: of its eight squares only all together give its r.
        x = [ONE] * 8 + [0x3F84, ONE] + [0] * 6
        weight = [0x3FA1, ONE] + [ONE] * 6
        # Row 0: ones, so out = weight. Row 1: r = 1.9689977 for the mean square of 2.0634766 / 8, and then as B1 twice.
        out = weight + [0x4023, 0x3FFC] + [0] * 6
        file = self.write(rms_dump(x, weight, out, [2, 8]))
        output = self.run_program("minimize", file, "--output", self.path("small.json"), expect=1)
        self.assertIn("the row is kept whole", output)
        with open(self.path("small.json")) as small:
            case = json.load(small)
        self.assertEqual(case["shape"], [1, 8])
        self.assertIn("4023", case["outputs"]["out"]["bits"][0])
        self.run_program("check", self.path("small.json"), expect=1)

    def test_minimize_keeps_what_is_wrong_with_the_scale(self):
        file = self.write(rms_dump([ONE] * 8, [ONE] * 4, [ONE] * 4 + [HALF] * 4, [2, 4]))
        output = self.run_program("minimize", file, "--output", self.path("small.json"), expect=1)
        self.assertIn("1 of 4 columns show the same", output)
        self.assertIn("scale violation", self.run_program("check", self.path("small.json"), expect=1))
        # Of a row of 256 those columns stay whose r is off by the same factor.
        case, dump = os.path.join(CORPUS, "models", "h2048-rms-norm.json"), self.path("native.safetensors")
        self.run_program("replay", case, "--dump", dump, expect=0)
        with open(dump, "rb") as content:
            data = content.read()
        header = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])
        start, end = header["out"]["data_offsets"]
        begin = 8 + struct.unpack("<Q", data[:8])[0]
        # Every output doubled, exactly: a bf16 exponent one higher.
        out = [bits + 0x80 if bits & 0x7F80 else bits for bits in struct.unpack(f"<{(end - start) // 2}H",
                                                                                data[begin + start:begin + end])]
        doubled = self.write(data[:begin + start] + u16(out) + data[begin + end:], "doubled.safetensors")
        output = self.run_program("minimize", doubled, "--output", self.path("small.json"), expect=1)
        with open(self.path("small.json")) as small:
            self.assertLessEqual(json.load(small)["shape"][1], 64)
        output = self.run_program("identify", self.path("small.json"), expect=1)
        self.assertIn("it looks like native with r off by a factor 2 in every row", output)

    def test_minimize_leaves_conforming_outputs_alone(self):
        file = self.write(rms_dump(**B1, out=B1_NATIVE))
        self.assertIn("nothing to minimize", self.run_program("minimize", file, expect=0))
        self.assertFalse(os.path.exists(self.path("minimized.json")))
        case = os.path.join(CORPUS, "seeds", "B1-fp32-weight-multiply.json")
        self.assertIn("nothing to minimize", self.run_program("minimize", case, "--target", "host", expect=0))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])

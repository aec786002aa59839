#!/usr/bin/env python3
"""Drives `normproof certify`: certificates of our kernels and of a plug-in with planted differences, and their comparison.

Usage: certify_command_test.py NORMPROOF PLUGIN [UNITTEST-ARGUMENT...]
PLUGIN is properties/plugin/test/faulty_plugin.cpp as a library.
"""
import html
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv[1])
PLUGIN = os.path.abspath(sys.argv[2])
SIZE = ("--op", "rms_norm", "--dtype", "bf16", "--hidden", "256", "--rows-per-call", "64,1")


class CertifyCommand(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        cls.texts = {}
        for name, target, fault in (("host", "host", ""), ("plugin", PLUGIN, ""), ("weight", PLUGIN, "fp32-weight"),
                                    ("order", PLUGIN, "other-order"), ("alignment", PLUGIN, "order-by-alignment"),
                                    ("rows", PLUGIN, "order-from-64-rows"), ("bug", PLUGIN, "fp32-weight:16"),
                                    ("kahan", PLUGIN, "kahan"), ("once", PLUGIN, "rounded-once"),
                                    ("lost", PLUGIN, "right-ten-times")):
            code = 1 if name in ("bug", "lost") else 0
            cls.texts[name] = cls.run_program("certify", "--target", target, *SIZE, "--json", f"{name}.json", code=code, fault=fault)

    @classmethod
    def run_program(cls, *arguments, code=0, fault=""):
        run = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=280, cwd=cls.folder,
                             env={**os.environ, "NORMPROOF_FAULT": fault})
        assert run.returncode == code, f"{arguments} {fault}\n{run.returncode}\n{run.stdout}\n{run.stderr}"
        return run.stdout + run.stderr

    def document(self, name):
        with open(os.path.join(self.folder, f"{name}.json")) as file:
            return json.load(file)

    def compare(self, first, second, code):
        return self.run_program("certify", "--compare", f"{first}.json", f"{second}.json", "--examples", f"{first}-{second}", code=code)

    def test_int8_where_each_row_gets_a_scale(self):
        size = ("--dtype", "bf16", "--hidden", "64", "--rows-per-call", "4", "--quantized", "int8", "--json", "int8.json")
        self.run_program("certify", "--op", "rms_norm_dynamic_quant", *size)
        document = self.document("int8")
        self.assertEqual({one["quantized_dtype"] for one in document["policies"]}, {"int8"})
        self.assertTrue(all(one["explained"] in ("order", "policy") for one in document["inputs"]))
        self.assertIn("takes none of the calls", self.run_program("certify", "--op", "rms_norm_static_fp8_quant", *size, code=3))

    def test_an_upper_bound_of_scales(self):
        size = ("certify", "--op", "rms_norm_dynamic_quant", "--dtype", "bf16", "--hidden", "64", "--rows-per-call", "4", "--quantized", "int8")
        for name, bound in (("above", "100"), ("below", "1.5")):
            self.run_program(*size, "--scale-ub", bound, "--json", f"{name}.json")
            document = self.document(name)
            self.assertEqual(document["scale_ub"], float(bound))
            self.assertEqual({one["case"]["scale_ub"] for one in document["inputs"]}, {float(bound)})
            self.assertEqual({(one["quantized_dtype"], one["scale_ub"]) for one in document["orders"]}, {("int8", float(bound))})
            self.assertTrue(all(one["explained"] in ("order", "policy") for one in document["inputs"]))
            # Below the outputs it hides the scales, by which orders are told.
            self.assertEqual(any(one["certified"] for one in document["orders"]), name == "above")
        self.assertIn("was made with --scale-ub 100, below.json with --scale-ub 1.5", self.compare("above", "below", 2))
        self.assertIn("the same bits", self.compare("below", "below", 0))
        for arguments, message in ((("--op", "rms_norm", "--scale-ub", "1"), "rms_norm has no upper bound of scales"),
                                   (("--op", "layer_norm", "--scale-ub", "1"), "calls of layer_norm have bounds that are drawn"),
                                   (("--scale-ub", "0"), "above 0, got '0'")):
            self.assertIn(message, self.run_program("certify", *arguments, code=2))
        # All codes are the last ones: of a kernel that is right nothing is said.
        self.assertIn("--scale-ub: 1e-05 is so far below the outputs of rms_norm_dynamic_quant bf16", self.run_program(*size, "--scale-ub", "1e-5", code=2))
        self.assertIn("--scale-ub: is of calls", self.run_program("compare", "below.json", "below.json", "--scale-ub", "1", code=2))
        self.assertIn("--quantized: is of calls", self.run_program("compare", "below.json", "below.json", "--quantized", "int8", code=2))

    def test_codes_that_differ(self):
        self.run_program("certify", "--op", "rms_norm_dynamic_quant", "--dtype", "bf16", "--hidden", "16", "--rows-per-call", "1", "--json", "codes.json")
        document = self.document("codes")
        wrong = next(one for one in document["inputs"] if one["case"]["shape"][1] == 4)
        row = wrong["case"]["outputs"]["out"]["bits"][0].split()
        wrong["case"]["outputs"]["out"]["bits"][0] = " ".join([f"{int(row[0], 16) ^ 1:02x}", *row[1:]])
        wrong["out"][0], wrong["explained"], wrong["message"] = "0" * 16, "no", "another code"
        with open(os.path.join(self.folder, "wrong.json"), "w") as file:
            json.dump(document, file)
        self.assertIn("bug: rms_norm_dynamic_quant", self.compare("codes", "wrong", 1))

    def test_what_is_written(self):
        document = self.document("host")
        self.assertEqual((document["normproof_certificate"], document["normproof_order"], document["seed"]), (1, 1, 1))
        policies = [(one["weight_dtype"], one["offset"], one["policies"][0]) for one in document["policies"]]
        self.assertEqual(policies, [(weight, offset, "native") for weight in ("bf16", "fp32", None) for offset in (0, 1)])
        orders = [(one["rows"], one["offset"], one["certified"], one["family"]) for one in document["orders"]]
        self.assertEqual(orders, [(64, 0, True, "canonical of bf16 and fp16"), (1, 0, True, "canonical of bf16 and fp16"),
                                  (64, 1, True, "canonical of bf16 and fp16")])
        self.assertTrue(all(one["status"] == "completed" and one["explained"] in ("order", "policy") for one in document["inputs"]))
        self.assertTrue(any(one["explained"] == "order" for one in document["inputs"]))
        for one in document["inputs"]:
            rows, hidden = one["case"]["shape"]
            self.assertEqual(len(one["out"]), rows)
            self.assertEqual("outputs" in one["case"], hidden <= 16)
        self.assertTrue(any("whether squares are added by an fma" in one for one in document["not_established"]))
        self.assertTrue(any("other lengths than 256" in one for one in document["not_established"]))
        self.assertIn("not established:", self.texts["host"])
        self.assertRegex(self.document("plugin")["target_digest"], "^[0-9a-f]{16}$")

    def test_a_certificate_is_a_file_of_orders(self):
        document = self.document("host")
        text = self.run_program("bound", "rms_norm", "--hidden", "256", "--order", "host.json", "--no-search")
        self.assertIn("at most 0 ulp apart", text)
        self.assertEqual(document["orders"][0]["tree"]["leaves"], 256)

    def test_the_same_bits(self):
        text = self.compare("host", "host", 0)
        self.assertIn("the same bits on all of these inputs, the same policies, the same certified orders", text)
        text = self.compare("plugin", "plugin", 0)
        self.assertIn(" 0 rows differ", text)

    def test_the_same_policy_in_another_order(self):
        text = self.compare("host", "plugin", 1)
        self.assertIn("order: rms_norm bf16 H 256, 64 rows, aligned: host.json sums as canonical of bf16 and fp16, plugin.json as serial", text)
        self.assertNotIn("policy:", text)
        self.assertNotIn("bug:", text)

    def test_another_policy(self):
        text = self.compare("plugin", "weight", 1)
        self.assertRegex(text, "policy: rms_norm bf16, weight bf16, aligned: plugin.json has policy native.*, weight.json has weight=fp32")
        self.assertIn("not the same bits", text)
        example = os.path.join(self.folder, "plugin-weight", "policy-1.json")
        with open(example) as file:
            self.assertLessEqual(json.load(file)["shape"][1], 4)
        # The input shows it: judged by the other's policy it is a violation.
        replay = ("replay", example, "--target", PLUGIN)
        self.run_program(*replay, code=0)
        self.run_program(*replay, code=1, fault="fp32-weight")

    def test_another_order(self):
        text = self.compare("plugin", "order", 1)
        self.assertIn("plugin.json sums as serial, order.json as reverse serial", text)
        self.assertNotIn("policy:", text)
        self.assertNotIn("bug:", text)
        example = os.path.join(self.folder, "plugin-order", "order-1.json")
        with open(example) as file:
            case = json.load(file)
        self.assertEqual(sum(value != "0000" for value in case["input"]["bits"][0].split()), 3)
        replay = ("replay", example, "--target", PLUGIN, "--judge", "canonical")
        self.run_program(*replay, code=0)
        self.run_program(*replay, code=1, fault="other-order")

    def test_a_compensated_sum(self):
        text = self.compare("plugin", "kahan", 1)
        self.assertIn("plugin.json sums as serial, kahan.json as serial (kahan sums)", text)
        self.assertNotIn("bug:", text)
        with open(self.example("plugin", "kahan", "order")) as file:
            case = json.load(file)
        self.assertEqual(sum(value != "0000" for value in case["input"]["bits"][0].split()), 3)

    def test_another_root(self):
        text = self.compare("plugin", "once", 1)
        self.assertRegex(text, "root: rms_norm bf16 H 256, 64 rows, aligned: the root of plugin.json is [a-z_]+, of once.json rounded_once")
        self.assertNotIn("order:", text)
        self.assertNotIn("policy:", text)
        example = self.example("plugin", "once", "root")
        with open(example) as file:
            self.assertEqual(json.load(file)["shape"], [1, 2])
        replay = ("replay", example, "--target", PLUGIN, "--judge", "canonical")
        self.run_program(*replay, code=0, fault="rounded-once")
        self.run_program(*replay, code=1)

    def example(self, first, second, cause):
        folder = os.path.join(self.folder, f"{first}-{second}")
        return os.path.join(folder, sorted(name for name in os.listdir(folder) if name.startswith(cause))[0])

    def test_an_order_of_some_calls_alone(self):
        text = self.compare("plugin", "alignment", 1)
        self.assertIn("rms_norm bf16 H 256, 64 rows, shifted: plugin.json sums as serial", text)
        self.assertNotIn("64 rows, aligned", text)
        text = self.compare("plugin", "rows", 1)
        self.assertIn("rms_norm bf16 H 256, 64 rows, aligned: plugin.json sums as serial", text)
        self.assertNotIn("1 row, aligned", text)

    def test_a_bug(self):
        self.assertIn("fixed inputs are what its policy and order say", self.texts["bug"])
        text = self.compare("plugin", "bug", 1)
        self.assertIn("bug: rms_norm bf16, weight bf16, input 8x16-", text)
        self.assertIn("bug.json does not do what its policy and order say: rounding violation", text)
        self.assertNotIn("plugin.json does not do", text)
        self.assertIn("not the same bits", text)
        (example,) = os.listdir(os.path.join(self.folder, "plugin-bug"))
        replay = ("replay", os.path.join("plugin-bug", example), "--target", PLUGIN)
        self.run_program(*replay, code=0)
        self.run_program(*replay, code=1, fault="fp32-weight:16")

    def test_outputs_that_change_from_call_to_call(self):
        self.assertIn("policy native, refuted by", self.texts["lost"])
        text = self.compare("plugin", "lost", 1)
        self.assertIn("lost.json does not do what its policy and order say", text)

    def test_a_page_holds_both(self):
        """compare of certificates, and of targets that it certifies itself."""
        def bench(name, microseconds):
            rows = [{"op": "rms", "dtype": "bf16", "hidden": 4096, "tokens": 8, "mode": "hot", "kernel_us": microseconds}]
            with open(os.path.join(self.folder, name), "w") as file:
                json.dump({"normproof_bench": 1, "device": "one & the same", "date": "2026-11-30", "rows": rows}, file)
        bench("mine.bench", 2.5)
        bench("theirs.bench", 5)
        printed = self.run_program("compare", "plugin.json", "weight.json", "--html", "pair.html", "--json", "pair.json", "--output", "pair",
                                   "--bench", "mine.bench", "theirs.bench", code=1)
        self.assertEqual(printed.replace("pair/", "plugin-weight/"), self.compare("plugin", "weight", 1))
        with open(os.path.join(self.folder, "pair.html")) as file:
            page = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", re.sub(r"<style>.*?</style>", "", file.read(), flags=re.DOTALL))).split())
        with open(os.path.join(self.folder, "pair.json")) as file:
            found = json.load(file)
        self.assertEqual((found["exit_code"], found["conclusion"], found["kernels"]), (1, "not the same bits", ["plugin.json", "weight.json"]))
        self.assertEqual(sum(call["different_rows"] for call in found["calls"]), found["different_rows"])
        self.assertTrue(os.path.exists(os.path.join(self.folder, found["differences"][0]["example"])))
        for text in ("not the same bits; policy: rms_norm bf16, weight bf16", "native or mean=fma or mean=of_terms weight=fp32 or", "serial, certified", "one & the same",
                     "2.5 5 2.00", str(found["different_rows"]),
                     "bits of other inputs than the fixed ones"):
            self.assertIn(text, page)
        # The first element: each side's bits are what its own policy allows, and not what the other's does.
        one, other = re.search(r"plugin\.json (0x[0-9a-f]{4}) \S+ (0x[0-9a-f]{4}.*?) inside weight\.json", page), re.search(
            r"weight\.json (0x[0-9a-f]{4}) \S+ (0x[0-9a-f]{4}.*?) inside", page)
        self.assertNotEqual(one[1], other[1])
        self.assertIn(one[1], one[2])
        self.assertNotIn(one[1], other[2])
        # A bug lies outside of what its own policy allows.
        self.run_program("compare", "plugin.json", "bug.json", "--html", "bug.html", code=1)
        with open(os.path.join(self.folder, "bug.html")) as file:
            self.assertIn("outside", file.read())
        # Of targets: those of the certificates.
        printed = self.run_program("compare", "host", PLUGIN, *SIZE, code=1)
        self.assertIn(self.compare("host", "plugin", 1).splitlines()[0], printed)

    def test_what_cannot_be_compared(self):
        with open(os.path.join(self.folder, "dump.safetensors"), "w") as file:
            file.write("no dump")
        self.assertIn("expected two dumps of a model, or two kernels", self.run_program("compare", "host.json", "dump.safetensors", code=2))
        self.assertIn("are of two kernels", self.run_program("compare", "dump.safetensors", "dump.safetensors", "--html", "x.html", code=2))
        self.assertIn("normproof_bench is missing", self.run_program("compare", "host.json", "host.json", "--bench", "host.json", "host.json", code=2))

    def test_what_is_no_certificate_is_refused(self):
        other = self.document("host")
        other["seed"] = 2
        for name, content, words in (("seed", other, "--seed"), ("empty", {}, "normproof_certificate is missing"),
                                     ("version", {**other, "normproof_certificate": 2}, "normproof_certificate"),
                                     ("digests", {**self.document("host"), "inputs": [{**other["inputs"][0], "out": []}]}, "digest")):
            with open(os.path.join(self.folder, f"{name}.json"), "w") as file:
                json.dump(content, file)
            self.assertIn(words, self.compare("host", name, 2), name)
        with open(os.path.join(self.folder, "text.json"), "w") as file:
            file.write("hello")
        self.assertIn("not JSON", self.compare("host", "text", 2))
        self.run_program("certify", "--compare", "host.json", code=2)
        self.run_program("certify", "--target", "nobody", code=3)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])

#!/usr/bin/env python3
"""Judged operations of a plug-in in the commands beside `verify`: `identify`, `certify`, `minimize`, `check`, and two targets.

Usage: judged_commands_test.py NORMPROOF BUILD-FOLDER [UNITTEST-ARGUMENT...]
"""
import json
import os
import re
import shlex
import shutil
import sys
import unittest

from program_test_case import ProgramTest

PLUGIN, QUANTIZING = (os.path.join(os.path.abspath(sys.argv[2]), "properties", "plugin", f"lib{name}_plugin.so")
                      for name in ("judged", "quantizing"))


class JudgedCommands(ProgramTest):
    def read(self, name):
        with open(self.path(name)) as file:
            return json.load(file)

    def finding(self, fault, operation):
        """The stored call of a violation, as it was found."""
        text = self.run_program("verify", "--target", PLUGIN, "--op", operation, "--seed", "1", "--seconds", "2", "--no-shrink",
                                code=1, fault=fault)
        return shlex.split(re.search(r"^  replay: +(.*)$", text, re.MULTILINE).group(1))[2]

    def test_our_kernels_leave_the_padding_of_swizzled_scales_alone(self):
        for operation in ("rms_norm_nvfp4_quant", "rms_norm_mx_quant"):
            text = self.run_program("verify", "--op", operation, "--policy", f"{operation}:scale_layout=swizzled_128x4", "--seconds", "1",
                                    "--seed", "1", code=0)
            self.assertIn("not looked at: the padding of scales", text)

    def test_identify_names_the_policy_of_each_call(self):
        text, again = (self.run_program("identify", "--target", PLUGIN, "--op", "fused_add_layer_norm", "--jobs", jobs, "--json", "i.json",
                                        code=0, fault="sum-not-rounded") for jobs in ("3", "1"))
        self.assertEqual(text, again)
        self.assertRegex(text, r"fused_add_layer_norm bf16, weight bf16 +sum=fp32\b")
        calls = {call["call"]: call for call in self.read("i.json")["calls"]}
        self.assertEqual(len(calls), 8)
        call = calls["fused_add_layer_norm fp16, weight fp16"]
        self.assertTrue(call["policy"] == "sum=fp32" and call["identified"] and call["calls"] > 20 and call["drawn_to_tell_apart"] > 0, call)
        # The ordinary call and the random ones leave contractions open, which calls that are drawn for it tell apart.
        text = self.run_program("identify", "--target", PLUGIN, "--op", "qk_norm_rope", "--dtype", "bf16", "--weight", "none",
                                "--demand", "one-policy", code=0, fault="")
        self.assertRegex(text, r"qk_norm_rope bf16, weight none +native\n")
        text = self.run_program("identify", "--target", PLUGIN, "--op", "layer_norm", "--dtype", "fp32", code=1, fault="mean-in-16-bits")
        self.assertIn("none of the known policies", text)
        self.assertIn("answered none", self.run_program("identify", "--target", PLUGIN, "--op", "layer_norm", code=3, fault="not-taken"))

    def test_an_operation_that_a_plug_in_lacks_is_not_taken(self):
        for command in ("verify", "certify"):
            text = self.run_program(command, "--target", PLUGIN, "--op", "rms_norm_mx_quant", code=3)
            self.assertIn("takes none of the calls", text)

    def test_certificates_state_policies_and_compare_bits(self):
        certify = ("certify", "--target", PLUGIN, "--op", "layer_norm", "--dtype", "fp32", "--json")
        text = self.run_program(*certify, "a.json", code=0, fault="")
        self.assertIn("layer_norm: the order of summation: its judges admit any", text)
        self.assertIn("layer_norm fp32, weight fp32: 8 of 8 fixed inputs are what its policy says", text)
        document = self.read("a.json")
        self.assertEqual(document["judged_policies"][0]["policies"][0], "native")
        self.assertEqual({entry["explained"] for entry in document["judged_inputs"]}, {"policy"})
        self.run_program(*certify, "again.json", code=0, fault="")
        self.assertIn("the same bits", self.run_program("certify", "--compare", "a.json", "again.json", code=0))
        self.run_program(*certify, "b.json", code=1, fault="mean-in-16-bits")
        self.assertRegex(self.run_program("certify", "--compare", "a.json", "b.json", code=1),
                         r"policy: layer_norm fp32, weight none: a.json follows native, b.json none that is known\n(.*\n)*"
                         r".*b.json does not do what its policy says")
        # Another order: both conform, and other bits are seen.
        self.run_program(*certify, "c.json", code=0, fault="summed-backwards")
        self.assertRegex(self.run_program("certify", "--compare", "a.json", "c.json", code=1), "unknown: .*other bits; both do what")
        # A stored input is a call that `replay` reads.
        stored = next(entry["document"] for entry in document["judged_inputs"] if "document" in entry)
        with open(self.path("stored.json"), "w") as file:
            json.dump(stored, file)
        self.run_program("replay", "stored.json", "--target", PLUGIN, code=0, fault="")

    def test_gradients_of_a_kernel_that_declines_statistics_are_asked_for_without(self):
        asked = ("--target", PLUGIN, "--op", "rms_norm_backward", "--dtype", "fp32")
        text = self.run_program("identify", *asked, code=0, fault="statistics-not-taken")
        self.assertRegex(text, r"rms_norm_backward fp32, weight none +native\b")
        text = self.run_program("certify", *asked, code=0, fault="statistics-not-taken")
        self.assertIn("rms_norm_backward fp32, weight fp32: 8 of 8 fixed inputs are what its policy says", text)

    def test_minimize_shrinks_a_stored_finding(self):
        found = self.finding("variance-over-h-minus-1", "layer_norm")
        text = self.run_program("minimize", found, "--target", PLUGIN, "--output", "small.json", "--json", "m.json", code=1,
                                fault="variance-over-h-minus-1")
        small = self.read("small.json")
        self.assertEqual(small["tensors"]["x"]["shape"], [1, 2])
        self.assertEqual(self.read("m.json")["hidden_size"], 2)
        replay = shlex.split(re.search(r"^replay: (.*)$", text, re.MULTILINE).group(1))[1:]
        self.run_program(*replay, code=1, fault="variance-over-h-minus-1")
        self.assertIn("nothing to minimize", self.run_program("minimize", found, "--target", PLUGIN, code=0, fault=""))
        # Without a target the violating row is what is left.
        self.run_program("minimize", found, "--output", "row.json", code=1)
        self.assertEqual(self.read("row.json")["tensors"]["x"]["shape"][0], 1)
        self.run_program("check", "row.json", code=1)
        self.assertIn("nothing to minimize", self.run_program("minimize", found, "--target", "host", code=0))

    def test_check_says_of_codes_where_they_are_and_what(self):
        found = self.finding("last-of-block-not-looked-at", "rms_norm_block_quant")
        self.run_program("check", found, "--json", "c.json", code=1)
        (certificate, *_) = self.read("c.json")["files"][0]["certificates"]
        places = [element["place"] for element in certificate["elements"] if "place" in element]
        self.assertTrue(places and all(place.startswith("scale of block") for place in places), certificate)
        self.assertTrue(certificate["reason"])

    def test_two_targets_give_the_same_bits_or_disagree(self):
        other = self.path("libother.so")
        shutil.copy(PLUGIN, other)
        both = ("verify", "--target", PLUGIN, "--also", other, "--op", "layer_norm", "--seed", "1")
        text = self.run_program(*both, "--cases", "400", code=0, NORMPROOF_OTHER_FAULT="")
        self.assertRegex(text, r"elements of \d+ judged calls compared bit for bit, 0 calls differ")
        text = self.run_program(*both, "--seconds", "3", code=1, NORMPROOF_OTHER_FAULT="summed-backwards")
        self.assertIn("two targets disagree", text)
        self.assertRegex(text, r"\[element \d+\]: 0x[0-9a-f]+ on ")
        self.assertIn(f"not looked at: qk_norm_rope, which {PLUGIN} does not have", self.run_program(
            "verify", "--target", PLUGIN, "--also", "host", "--op", "rms_norm", "--cases", "8", code=1, fault="both-kinds"))

    def test_our_own_kernels_are_held_to_every_bit(self):
        run = ("verify", "--op", "layer_norm", "--dtype", "bf16", "--seconds", "0", "--seed", "1")
        text = self.run_program(*run, "--json", "v.json", code=0)
        self.assertIn("layer_norm: policy native, canonical judge: every bit; 3 calls", text)  # a call of each kind of weight
        self.assertIn("in every call, every output bit is that of the canonical order", text)
        self.assertEqual([row["judge"] for row in self.read("v.json")["judged"]["operations"]], ["canonical"])
        text = self.run_program(*run, "--judge", "witness", code=0)
        self.assertIn("search judge: any order of summation", text)
        self.assertIn("statistics or sums that an honest evaluation can arrive at explain every output bit", text)
        # By another policy they give other bits.
        text = self.run_program(*run, "--policy", "layer_norm:weight=fp32_plus_one", "--cases", "60", "--no-shrink", code=1)
        self.assertIn("policy weight=fp32_plus_one; canonical judge", text)
        self.assertRegex(text, r"replay: +\S+ replay findings/\S+ --target host --policy layer_norm:weight=fp32_plus_one")

    def test_tensors_of_bytes_are_certified_and_compared(self):
        operation = ("--op", "rms_norm_nvfp4_quant")
        text = self.run_program("certify", "--target", QUANTIZING, "--op", "rms_norm_mx_quant", "--json", "c.json", code=0)
        self.assertIn("rms_norm_mx_quant bf16, weight none, codes uint8: 8 of 8 fixed inputs are what its policy says", text)
        self.assertTrue(any("uint8" in row["call"] and row["outputs"]["out"] for row in self.read("c.json")["judged_inputs"]))
        other = self.path("libother.so")
        shutil.copy(QUANTIZING, other)
        text = self.run_program("verify", "--target", QUANTIZING, "--also", other, *operation, "--seed", "1", "--seconds", "0",
                                "--cases", "40", code=1, NORMPROOF_OTHER_FAULT="nvfp4-not-divided-by-6")
        self.assertIn("two targets disagree", text)
        self.assertRegex(text, r"out\[element \d+\]: 0x[0-9a-f]{2} on ")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])

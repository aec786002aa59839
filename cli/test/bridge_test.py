#!/usr/bin/env python3
"""Functions in another process behind the bridge: right, wrong, not made for a call, raising, ended.

Usage: bridge_test.py NORMPROOF BRIDGE-LIBRARY [UNITTEST-ARGUMENT...]
"""
import os
import shutil
import subprocess
import sys
import time
import unittest

from program_test_case import ProgramTest

BRIDGE = os.path.abspath(sys.argv[2])
SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "properties", "plugin", "bridge", "serve.py")
FUNCTIONS = """
import os
import numpy

def norm(x, weight, epsilon, columns=None):
    wide = x.astype(numpy.float32)
    mean = numpy.mean(wide * wide, axis=-1, keepdims=True, dtype=numpy.float32)
    root = numpy.float32(1) / numpy.sqrt(mean + numpy.float32(epsilon))
    y = (wide * root).astype(x.dtype)
    return y if weight is None else y * weight

def add(x, residual, weight, epsilon):
    total = x + residual
    return norm(total, weight, epsilon), total

def codes(x, weight, scale_ub, epsilon, bounded=True):
    y = norm(x, weight, epsilon).astype(numpy.float32)
    largest = numpy.max(numpy.abs(y), axis=-1, keepdims=True)
    if bounded and scale_ub is not None:
        largest = numpy.where(largest > scale_ub, scale_ub, largest)
    scales = largest / numpy.float32(127)
    scales = numpy.where(scales < 2**-23, numpy.float32(2**-23), scales)
    rounded = numpy.rint(numpy.clip(y * (numpy.float32(1) / scales), -128, 127))
    return numpy.where(numpy.isnan(rounded), 0, rounded).astype(numpy.int8), scales

def bound_ignored(x, weight, scale_ub, epsilon):
    return codes(x, weight, scale_ub, epsilon, bounded=False)

def no_epsilon(x, weight, epsilon):
    return norm(x, weight, 0)

def short(x, weight, epsilon):
    if x.shape[-1] > 64:
        raise NotImplementedError("at most 64\\ncolumns")
    return norm(x, weight, epsilon)

def raising(x, weight, epsilon):
    raise ValueError("no luck")

def narrow(x, weight, epsilon):
    return norm(x, weight, epsilon)[:, :-1]

def ending(x, weight, epsilon):
    os._exit(1)
"""


class Bridge(ProgramTest):
    def setUp(self):
        super().setUp()
        shutil.copy(BRIDGE, os.path.join(self.folder, "bridge.so"))
        with open(os.path.join(self.folder, "mine.py"), "w") as file:
            file.write(FUNCTIONS)

    def verify(self, function, code, *more, serve=(), seconds="1"):
        path = os.path.join(self.folder, "socket")
        server = subprocess.Popen(["/usr/bin/python3", SERVER, f"mine.py:{function}", "--socket", path, "--arrays", "--dtypes",
                                   "float32,float16", "--weights", "none,same", "--idle", "60", *serve], cwd=self.folder,
                                  stderr=subprocess.DEVNULL)
        try:
            while not os.path.exists(path) and server.poll() is None:
                time.sleep(0.02)
            return self.run_program("verify", "--target", "./bridge.so", "--seed", "1", "--seconds", seconds, "--cases", "300",
                                    "--property-cases", "2", *more, code=code, NORMPROOF_BRIDGE=path)
        finally:
            server.kill()
            server.wait()
            if os.path.exists(path):
                os.unlink(path)

    def test_right_functions_conform(self):
        self.assertIn("4 of 4 combinations", self.verify("norm", 0))
        self.assertIn("4 of 4 combinations", self.verify("add", 0, serve=("--operation", "fused_add_rms_norm")))

    def test_int8_codes_and_an_upper_bound_get_there(self):
        serve = ("--operation", "rms_norm_dynamic_quant", "--dtypes", "float32,float16,int8", "--scale-ub")
        self.assertIn("4 of 4 combinations", self.verify("codes", 0, serve=serve))
        self.assertIn("scale_ub", self.verify("bound_ignored", 1, serve=serve))

    def test_wrong_ones_do_not(self):
        self.assertIn("VIOLATION found by", self.verify("no_epsilon", 1))
        self.assertIn("ValueError: no luck", self.verify("raising", 1))
        self.assertIn("expected shape", self.verify("narrow", 1))
        self.assertIn("the process behind the bridge has ended", self.verify("ending", 1))

    def test_what_is_not_taken_is_counted(self):
        self.assertIn("at most 64 columns", self.verify("short", 0))

    def test_without_a_server_it_could_not_run(self):
        for path in ("", os.path.join(self.folder, "nowhere")):
            self.run_program("verify", "--target", "./bridge.so", code=3, NORMPROOF_BRIDGE=path)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])

"""What tests of the program share: a folder of their own, and one way to run the program there.

The first argument of such a test is the program.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv[1])


def safetensors(tensors, metadata):
    """The bytes of a dump; tensors: {name: (dtype, shape, bytes)}."""
    header, data = {"__metadata__": metadata}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class ProgramTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_program(self, *arguments, code=0, fault=None, **environment):
        """What the program prints; its exit code must be `code`. Test plug-ins do wrong what `fault` says."""
        if fault is not None:
            environment["NORMPROOF_FAULT"] = fault
        done = subprocess.run([PROGRAM, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=300,
                              env={**os.environ, **environment})
        self.assertEqual(done.returncode, code, f"{fault or ''} {arguments}\n{done.stdout}\n{done.stderr}")
        return done.stdout + done.stderr

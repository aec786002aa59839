"""What all tests share. numpy's warnings of overflow and NaN are part of the cases."""
import os
import shutil
import subprocess

import numpy
import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def quiet_arithmetic():
    with numpy.errstate(all="ignore"):
        yield


@pytest.fixture
def program():
    """Runs the normproof program: program(argument, ...) gives its exit status and output."""
    path = os.environ.get("NORMPROOF_PROGRAM") or shutil.which("normproof")
    if not path:
        pytest.skip("the normproof program is not built (NORMPROOF_PROGRAM names it)")

    def run(*arguments):
        done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr
    return run

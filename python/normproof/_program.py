"""The normproof program and its files inside the installed package: what `pip install` lays down beside the Python sources."""
from __future__ import annotations

import os
import pathlib
import shutil
import sys

from normproof import _core


def _installed(*parts: str) -> pathlib.Path:
    # Beside the extension module: of an editable installation the sources lie elsewhere.
    path = pathlib.Path(_core.__file__).parent.joinpath("_installed", *parts)
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: this normproof was not installed by pip, and brings the Python modules alone")
    return path


def include_dir() -> str:
    """The folder that holds normproof_plugin.h, for ``-I``."""
    return str(_installed("include", "normproof"))


def cmake_dir() -> str:
    """The folder that holds normproofConfig.cmake, for ``-Dnormproof_DIR=``."""
    return str(_installed("lib", "cmake", "normproof"))


def corpus_dir() -> str:
    """The folder that holds the stored cases, seeds/ and models/, for ``normproof replay``."""
    return str(_installed("share", "normproof", "corpus"))


def _name_in_messages(program: str) -> str | None:
    """How to call the program again in lines that people copy; None: by its name."""
    called = sys.argv[0]
    found = shutil.which("normproof")
    if found and (os.path.basename(called) != "normproof" or os.path.samefile(found, called)):
        return None
    return called if os.path.basename(called) == "normproof" else program


def main() -> int:
    """The program, with this process's arguments. Takes --include-dir, --cmake-dir and --corpus-dir itself."""
    folders = {"--include-dir": include_dir, "--cmake-dir": cmake_dir, "--corpus-dir": corpus_dir}
    try:
        if len(sys.argv) == 2 and sys.argv[1] in folders:
            print(folders[sys.argv[1]]())
            return 0
        program = str(_installed("bin", "normproof"))
    except FileNotFoundError as error:
        print(f"normproof: {error}", file=sys.stderr)
        return 3
    name = _name_in_messages(program)
    if name:
        os.environ.setdefault("NORMPROOF_PROGRAM", name)
    os.execv(program, [program, *sys.argv[1:]])

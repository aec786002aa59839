"""What the pages show of a terminal is what the program prints: each command of a ```console block is run, and the lines below it
must be the lines that it prints. "..." stands for lines that are left out, and nothing else may be; times are not compared.

Usage: transcripts_test.py PROGRAM    built with the mutant B1-fp32-weight-multiply-vectorized
"""
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(sys.argv.pop(1)).absolute()
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("NORMPROOF_")}


def commands(page):
    """Command and the lines shown below it, in the order of the page. Of ```sh blocks those that write a dump."""
    for language, text in re.findall(r"^```(console|sh)\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL):
        shown = None
        for line in text.splitlines():
            if language == "sh":
                if "--dump" in line:
                    yield line, []
            elif line.startswith("$ "):
                if shown:
                    yield shown
                shown = line[2:], []
            elif shown:
                shown[1].append(line)
        if shown:
            yield shown


def comparable(line):
    return re.sub(r"\d+(\.\d+)? s\b", "# s", line.rstrip())


def pattern_of(shown):
    """Of all that is printed."""
    lines = ("(.*\n)*?" if line.strip() == "..." else re.escape(comparable(line) + "\n") for line in shown)
    return re.compile("\\A" + "".join(lines) + "\\Z")


class Transcripts(unittest.TestCase):
    def check_pages(self, *pages):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "normproof").symlink_to(PROGRAM)
            pathlib.Path(folder, "corpus").symlink_to(ROOT / "corpus")
            compared = 0
            for page in pages:
                for command, shown in commands(page):
                    done = subprocess.run(shlex.split(command), cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                          env={**ENVIRONMENT, "NORMPROOF_PROGRAM": "./normproof"})
                    self.assertIn(done.returncode, (0, 1), f"{page}: {command}\n{done.stdout}")
                    printed = "".join(comparable(line) + "\n" for line in done.stdout.splitlines())
                    self.assertTrue(not shown or pattern_of(shown).match(printed), f"{page}: {command}\nshows\n" + "\n".join(shown)
                                    + f"\nand this is printed:\n{done.stdout}")
                    compared += len(shown)
            return compared

    def test_the_readme(self):
        self.assertGreater(self.check_pages("README.md"), 10)

    def test_the_tutorial_and_the_page_on_verdicts(self):
        self.assertGreater(self.check_pages("docs/tutorial.md", "docs/verdict.md"), 30)


if __name__ == "__main__":
    unittest.main()

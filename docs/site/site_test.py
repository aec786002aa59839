"""Builds the site, and shows that what its checks look for is found.

Usage: site_test.py BUILD_FOLDER PROGRAM    ends with 77 where the packages of requirements.txt cannot be had
"""
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import unittest

import build
import pages

BUILD, PROGRAM = pathlib.Path(sys.argv[1]), sys.argv[2]
HERE = pathlib.Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"


def environment():
    """The Python of a venv with the packages; made once for each version of requirements.txt."""
    folder = BUILD / "environment"
    done = folder / hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not done.exists():
        for command in ([sys.executable, "-m", "venv", "--clear", folder],
                        [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary",
                         ":all:", "--requirement", REQUIREMENTS]):
            made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if made.returncode:
                print(f"NOT TESTED: {' '.join(map(str, command))} failed: {made.stdout}")
                sys.exit(77)
        done.touch()
    return folder / "bin/python"


class Site(unittest.TestCase):
    def test_it_is_built(self):
        with tempfile.TemporaryDirectory() as folder:
            made = subprocess.run([environment(), HERE / "build.py", folder, "--program", PROGRAM], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
            self.assertEqual(made.returncode, 0, made.stdout)
            # The program's own help, the docstrings, and a page from beside the code.
            for page, said in (("commands.html", "--shard"), ("python.html", "assert_batch_invariant"),
                               ("oracle/CONTRACT.html", "rnd_D(z)")):
                self.assertIn(said, pathlib.Path(folder, page).read_text(), page)

    def test_a_link_that_leads_nowhere_stops_the_build(self):
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder, "pages")
            build.Site(source).write("")
            for other in source.glob("**/*.md"):
                if other.name not in ("limits.md", "glossary.md"):  # those that they link to are missing then, which is said as well
                    other.unlink()
            page = source / "limits.md"
            page.write_text(page.read_text() + "\n[nowhere](glossary.md#nowhere)\n")
            made = subprocess.run([environment(), "-c", f"import pathlib, build; build.build(pathlib.Path({str(source)!r}), {folder + '/site'!r})"],
                                  cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self.assertNotEqual(made.returncode, 0)
            self.assertRegex(made.stdout, "WARNING .*#nowhere")

    def test_a_page_that_loads_from_elsewhere_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            for number, text in enumerate(('<a href="https://example.org">read</a> <link rel="canonical" href="https://example.org/">',
                                           '<script src="https://example.org/x.js"></script>', '<img alt="" src="//example.org/x.png">')):
                pathlib.Path(folder, f"{number}.html").write_text(text)
            found = list(build.loads_from_elsewhere(pathlib.Path(folder)))
            self.assertEqual([line.split(" ")[0] for line in found], ["1.html", "2.html"])

    def test_links_are_found_outside_of_code(self):
        self.assertEqual(pages.links("[a](b.md) `[c](d.md)` ![e](f.svg#g)\n```\n[h](i.md)\n```\n[![j](k.svg)](l.md)"),
                         ["b.md", "f.svg#g", "l.md"])
        self.assertEqual(pages.anchors("# A `b` c\n## What's (new)?\n## What's new\n```\n# no\n```"),
                         {"a-b-c", "whats-new", "whats-new-1"})


if __name__ == "__main__":
    environment()
    unittest.main(argv=sys.argv[:1])

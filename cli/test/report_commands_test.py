#!/usr/bin/env python3
"""Pages that check, identify and verify write, and drift, from the command line. Arguments: the program, the corpus, a
mutant that multiplies the weight in fp32."""
import html.parser
import json
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

PROGRAM, CORPUS, MUTANT = pathlib.Path(sys.argv.pop(1)).resolve(), pathlib.Path(sys.argv.pop(1)).resolve(), sys.argv.pop(1)
VOID = {"meta", "br", "input"}


class Page(html.parser.HTMLParser):
    """Text, tags, and whether every element is closed in its turn."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.words, self.faults = [], [], [], []
        self.feed(source)
        self.close()
        self.faults += [f"<{tag}> is left open" for tag in self.open]
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.faults += [f"<{tag} {name}={value}> loads something" for name, value in attributes
                        if name in ("src", "href") or (value and "url(" in value)]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> does not belong")

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)


class Reports(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_program(self, *arguments, status):
        done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, cwd=self.folder, timeout=300)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def page(self, name="page.html"):
        page = Page((self.folder / name).read_text())
        self.assertEqual(page.faults, [])
        return page

    def dump(self, name):
        self.run_program("replay", CORPUS / "models" / "h2048-rms-norm.json", "--target", MUTANT, "--dump", name, status=1)

    def test_check(self):
        hostile = "<b>&'quot\".safetensors"
        self.dump(hostile)
        printed = self.run_program("check", hostile, "--html", "page.html", status=1)
        page = self.page()
        column, got = re.search(r"column (\d+): .*got \S+ \((0x[0-9a-f]+)\)", printed).groups()
        for text in (hostile, "0 conforming, 1 violating", "rounding violation", column, got, "1 ulp", "judged by",
                     f"normproof identify {shlex.quote(hostile)}", f"normproof check {shlex.quote(hostile)} --html page.html", "any order of summation"):
            self.assertIn(text, page.text)
        self.assertEqual(page.tags.count("svg"), 2)  # the histogram and the map
        shares = re.search(r"fits best: ([\d.]+) % equal, ([\d.]+) % 1 ulp", printed).groups()
        for share in shares:
            self.assertIn(f"({share} %)", page.text)
        self.run_program("check", hostile, "--policy", "weight=fp32", "--html", "good.html", status=0)
        good = self.page("good.html")
        self.assertIn("1 conforming, 0 violating", good.text)
        self.assertNotIn("svg", good.tags)

    def test_check_in_the_canonical_order_and_what_cannot_be_read(self):
        self.dump("dump.safetensors")
        printed = self.run_program("check", "dump.safetensors", "nowhere.json", "--canonical", "--quiet", "--html", "page.html",
                                   status=1)
        page = self.page()
        for text in ("canonical order", "elements that differ", "not judged", "nowhere.json", "1 not judged"):
            self.assertIn(text, page.text)
        # Every element that differs is marked once, in the cell of its row and column.
        cells = {}
        for row, first, last, differing, elements in re.findall(
                r"rows (\d+), columns (\d+) to (\d+): (\d+) of (\d+) elements differ", (self.folder / "page.html").read_text()):
            self.assertLessEqual(int(differing), int(elements))
            cells[int(row), int(first), int(last)] = int(differing)
        self.assertEqual(sum(cells.values()), int(re.search(r"differing (\d+)", printed).group(1)))
        listed = re.findall(r"out\[row (\d+), column (\d+)\]", printed)
        self.assertEqual(len(listed), 8)
        for row, column in listed:
            self.assertTrue(any(cell[0] == int(row) and cell[1] <= int(column) <= cell[2] for cell in cells), (row, column))

    def test_identify(self):
        self.dump("dump.safetensors")
        self.run_program("identify", "dump.safetensors", "--html", "page.html", status=0)
        page = self.page()
        for text in ("weight=fp32", "vllm.rms_norm", "no r explains the element", "PyTorch", "3 of 3 rows"):
            self.assertIn(text, page.text)
        self.run_program("identify", "--target", MUTANT, "--op", "rms_norm", "--dtype", "bf16", "--weight", "bf16", "--seed",
                         "5", "--html", "target.html", status=1)
        target = self.page("target.html")
        for text in ("weight=fp32", "native", "Seed of the inputs: 5", "by what the sum of squares is divided"):
            self.assertIn(text, target.text)

    def test_verify(self):
        printed = self.run_program("verify", "--target", MUTANT, "--html", "page.html", status=1)
        page = self.page()
        seed = re.search(r"seed (\d+)", printed).group(1)
        self.assertIn(f"normproof verify --target {MUTANT} --html page.html --seed {seed}", page.text)
        file = next((self.folder / "findings").iterdir()).name
        for text in ("violates", f"normproof replay findings/{file} --target {MUTANT}", "1 ulp apart", "normproof_case",
                     "rounded to bf16", "judged by"):
            self.assertIn(text, page.text)
        self.assertRegex(page.text, r"\b[1-9]\d* of 288 combinations reached")
        self.run_program("verify", "--op", "rms_norm", "--dtype", "fp32", "--seconds", "0.1", "--cases", "64", "--seed", 3,
                         "--html", "good.html", status=0)
        good = self.page("good.html")
        for text in ("conforms", "bitwise-equality", "rms_norm"):
            self.assertIn(text, good.text)

    def test_drift(self):
        small = ("--hidden", 64, "--layers", 4, "--tokens", 8, "--vocabulary", 32)
        printed = self.run_program("drift", "--policy", "weight=fp32", *small, "--json", "drift.json", "--svg", "drift.svg",
                                   status=0)
        self.assertIn("random weights", printed)
        layers = json.loads((self.folder / "drift.json").read_text())["layers"]
        self.assertEqual(len(layers), 4)
        self.assertEqual(layers[0]["residual"]["share_differing"], 0)
        self.assertGreater(layers[3]["norm"]["mean"], layers[0]["norm"]["mean"])
        self.assertGreater(layers[0]["norm"]["mean"], 0)
        drawing = xml.etree.ElementTree.parse(self.folder / "drift.svg")
        circles = [entry for entry in drawing.iter() if entry.tag.endswith("circle")]
        self.assertEqual(len(circles), 4 * 5)
        self.assertIn("no element differs", self.run_program("drift", "--target", "host", *small, status=0))

    def test_wrong_use_of_drift(self):
        self.assertIn("none of them", self.run_program("drift", status=2))
        self.assertIn("both", self.run_program("drift", "--policy", "native", "--target", "host", status=2))
        self.assertIn("fp23", self.run_program("drift", "--policy", "weight=fp23", status=2))
        self.assertIn("no mutant 'none'", self.run_program("drift", "--target", "mutant:none", status=3))


if __name__ == "__main__":
    unittest.main()

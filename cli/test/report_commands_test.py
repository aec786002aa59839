#!/usr/bin/env python3
"""Pages that all commands write, and drift, from the command line. Arguments: the program, the corpus, a
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
        self.ids, self.links, self.fills, self.before, self.codes = [], [], set(), None, 0
        self.style = "".join(re.findall(r"<style>(.*?)</style>", source, re.DOTALL))
        self.feed(source)
        self.close()
        self.faults += [f"#{link} leads nowhere" for link in self.links if link not in self.ids]
        self.faults += [f"two elements are #{name}" for name in set(self.ids) if self.ids.count(name) > 1]
        self.faults += [f"<{tag}> is left open" for tag in self.open]
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.faults += [f"<{tag} {name}={value}> loads something" for name, value in attributes
                        if (name in ("src", "href") and not value.startswith("#")) or (value and "url(" in value)]
        given = dict(attributes)
        self.links += [given["href"][1:]] if "href" in given else []
        self.ids += [given["id"]] if "id" in given else []
        self.codes += tag == "code" and given.get("class") == "command"
        # Who reads with ears or keys alone: heads of columns, and whatever is scrolled can be reached.
        if tag == "th" and (given.get("scope") != "col" or "thead" not in self.open):
            self.faults.append("a <th> is no head of a column")
        if tag == "td" and "tbody" not in self.open:
            self.faults.append("a <td> outside of a <tbody>")
        if tag == "table" and self.before != ("div", "wide", "0") or tag == "pre" and given.get("tabindex") != "0":
            self.faults.append(f"a <{tag}> that is wider than the screen cannot be scrolled by keys")
        self.note(tag, given)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.note(tag, dict(attributes))

    def note(self, tag, given):
        if self.before and self.before[0] == "svg" and (tag, given.get("fill")) != ("rect", "#ffffff"):
            self.faults.append("an <svg> without a background")
        if tag in ("svg", "text") and "fill" in given:
            self.fills.add(given["fill"])
        self.before = (tag, given.get("class"), given.get("tabindex"))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> does not belong")

    def handle_data(self, data):
        if self.open and self.open[-1] == "th" and data.strip():
            self.before = None
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)


def contrast(one, other):
    """Of two colours, as WCAG defines it."""
    def luminance(color):
        parts = [int(color[at:at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# What texts have which colour on which ground.
ON = [("ink", "paper"), ("ink", "side"), ("soft", "paper"), ("soft", "side"), ("good", "paper"), ("good", "goodside"), ("bad", "paper"),
      ("bad", "side"), ("bad", "badside"), ("missink", "miss"), ("link", "paper")]


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
        self.assertRegex(page.text, r"How this was made what which command .* date \d{4}-\d\d-\d\d \d\d:\d\d UTC machine \S.* "
                                    r"program normproof \d.*\(commit .*, corpus ")
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
        # The histogram, the map, and the columns in vectors, warps and blocks.
        self.assertEqual(page.tags.count("svg"), 5)
        self.assertEqual(page.tags.count("nav"), 0)  # of one file
        diagnosis = re.search(r"diagnosis: (.*)", printed)[1]
        self.assertIn("all 3 violating rows follow policy weight=fp32", diagnosis)
        self.assertIn(diagnosis, page.text)
        # Of the elements in certificates: got, expected and how far they are apart.
        self.assertRegex(page.text, column + rf" -?[\d.]+ 0x[0-9a-f]+ -?[\d.]+ 0x[0-9a-f]+ -?[\d.]+ {got} -?[\d.]+ 0x[0-9a-f]+ 1 none")
        worst = re.search(r"The worst rows row elements that differ at most ((?:\d+ \d+ 1 ulp )+)", page.text)[1]
        counts = [int(count) for count in re.findall(r"\d+ (\d+) 1 ulp", worst)]
        self.assertEqual(counts, sorted(counts, reverse=True))
        self.assertEqual(len(counts), 3)
        # Each way of folding the columns has all that differ.
        source = (self.folder / "page.html").read_text()
        for modulus in (8, 32, 1024):
            cells = re.findall(rf"columns \d+ modulo {modulus}: (\d+) of (\d+) elements differ", source)
            self.assertEqual(sum(int(differing) for differing, _ in cells), sum(counts), modulus)
        shares = re.search(r"fits best: ([\d.]+) % equal, ([\d.]+) % 1 ulp", printed).groups()
        for share in shares:
            self.assertIn(f"({share} %)", page.text)
        self.run_program("check", hostile, "--policy", "weight=fp32", "--html", "good.html", status=0)
        good = self.page("good.html")
        self.assertIn("1 conforming, 0 violating", good.text)
        self.assertNotIn("svg", good.tags)

    def test_a_page_can_be_read_in_the_dark_on_paper_and_on_a_phone(self):
        self.dump("dump.safetensors")
        self.run_program("check", "dump.safetensors", "--html", "page.html", status=1)
        page = self.page()
        themes = re.findall(r":root \{([^}]*)\}", page.style)
        self.assertEqual(len(themes), 3)  # light, dark, print
        for theme in themes:
            colors = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", theme))
            self.assertEqual(set(colors), {name for pair in ON for name in pair} | {"line"})
            for text, ground in ON:
                self.assertGreaterEqual(contrast(colors[text], colors[ground]), 4.5, (text, ground))
        # Nothing has a colour besides, and nothing is wider than the screen.
        self.assertEqual(re.findall(r"#[0-9a-f]{3,8}\b|rgb", re.sub(r":root \{[^}]*\}", "", page.style)), [])
        for rule in ("prefers-color-scheme: dark", "@media print", "max-width: 480px", ".wide { overflow-x: auto; }", "svg { max-width: 100%;",
                     ":focus-visible"):
            self.assertIn(rule, page.style)
        for fill in page.fills:
            self.assertGreaterEqual(contrast(fill, "#ffffff"), 4.5, fill)
        self.assertIn("of a cell's elements differ: none 1 % 10 % all", page.text)  # what the colours mean
        self.assertGreater(page.codes, 1)  # commands, which get a button

    def test_the_columns_that_differ_are_named(self):
        self.run_program("replay", CORPUS / "models" / "h2048-rms-norm.json", "--dump", "good.safetensors", status=0)
        good = (self.folder / "good.safetensors").read_bytes()
        length = int.from_bytes(good[:8], "little")
        header = json.loads(good[8:8 + length])
        (out,) = [header[name] for name in header if name in ("out", "output")]
        rows, hidden = out["shape"]
        for columns, words in ((range(3, hidden, 8), "all in columns 3 modulo 8"), (range(64, 96), "all in columns 64 to 95"),
                               ((5,), "all in column 5")):
            changed = bytearray(good)
            for row in range(rows):
                for column in columns:
                    changed[8 + length + out["data_offsets"][0] + 2 * (row * hidden + column)] ^= 1
            (self.folder / "bad.safetensors").write_bytes(changed)
            self.run_program("check", "bad.safetensors", "--html", "page.html", status=1)
            self.assertTrue(words in self.page().text, words)

    def test_a_page_of_several_files_begins_with_a_summary(self):
        self.dump("a.safetensors")
        self.run_program("replay", CORPUS / "models" / "h2048-rms-norm.json", "--dump", "b.safetensors", status=0)
        self.run_program("check", "a.safetensors", "b.safetensors", "nowhere.json", "--html", "page.html", "--junit", "check.xml",
                         status=1)
        suite = xml.etree.ElementTree.parse(self.folder / "check.xml").getroot()[0]
        self.assertEqual([suite.get(name) for name in ("tests", "failures", "errors")], ["3", "1", "1"])
        self.assertEqual([(case.get("name"), [child.tag for child in case]) for case in suite],
                         [("a.safetensors", ["failure"]), ("b.safetensors", []), ("nowhere.json", ["error"])])
        self.assertIn("weight=fp32", suite[0][0].get("message"))
        page = self.page()
        self.assertRegex(page.text, r"a\.safetensors violates 3 3 \d+ all 3 violating rows follow .* b\.safetensors conforms 3 0 0 .*"
                                    r"nowhere\.json not judged")
        self.assertEqual(len(page.links), 3)

    def test_check_in_the_canonical_order_and_what_cannot_be_read(self):
        self.dump("dump.safetensors")
        printed = self.run_program("check", "dump.safetensors", "nowhere.json", "--canonical", "--quiet", "--html", "page.html",
                                   status=1)
        page = self.page()
        for text in ("canonical order", "elements that differ", "not judged", "nowhere.json", "1 not judged"):
            self.assertIn(text, page.text)
        self.assertEqual(page.tags.count("nav"), 1)
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

    def test_replay(self):
        case = CORPUS / "models" / "h2048-rms-norm.json"
        (self.folder / "broken.json").write_text("{}")
        self.run_program("replay", case, "broken.json", "--target", MUTANT, "--html", "page.html", status=1)
        page = self.page()
        for text in ("0 of 1 conform, 1 violate", "1 could not be read", "1 ulp apart", "rounded to bf16", f"normproof explain {case}", "not read"):
            self.assertIn(text, page.text)
        self.assertEqual(page.tags.count("svg"), 5)  # as check has them
        self.run_program("replay", case, "--html", "good.html", status=0)
        self.assertIn("1 of 1 conform, 0 violate", self.page("good.html").text)

    def test_pages_of_what_is_printed(self):
        """Commands that have no page of their own: what they print is on it, to the letter."""
        self.dump("dump.safetensors")
        for name, arguments, status in (("explain", ("dump.safetensors",), 1), ("minimize", ("dump.safetensors", "--output", "small.json"), 1),
                                        ("bound", ("rms_norm", "--hidden", "64", "--no-search"), 0),
                                        ("prove", ("--stride", "100000000", "--proof", "multiply-bf16"), 0)):
            printed = self.run_program(name, *arguments, "--html", "page.html", status=status)
            page = self.page()
            self.assertIn(" ".join(printed.split()), page.text, name)
            self.assertIn(f"normproof {name} {'all good' if status == 0 else 'violation found'}", page.text)

    def test_verify(self):
        printed = self.run_program("verify", "--target", MUTANT, "--html", "page.html", status=1)
        page = self.page()
        seed = re.search(r"seed (\d+)", printed).group(1)
        self.assertIn(f"normproof verify --target {MUTANT} --html page.html --seed {seed}", page.text)
        file = next((self.folder / "findings").iterdir()).name
        for text in ("violates", f"normproof replay findings/{file} --target {MUTANT}", "1 ulp apart", "normproof_case",
                     "rounded to bf16", "judged by", "1 violation: wrong bits, "):
            self.assertIn(text, page.text)
        self.assertRegex(page.text, r"\b[1-9]\d* of 320 combinations reached")
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
        self.run_program("drift", "--policy", "weight=fp32", *small, "--html", "page.html", status=0)
        self.assertEqual(self.page().tags.count("svg"), 1)
        self.assertIn("random weights", self.page().text)
        layers = json.loads((self.folder / "drift.json").read_text())["layers"]
        self.assertEqual(len(layers), 4)
        self.assertEqual(layers[0]["residual"]["share_differing"], 0)
        self.assertGreater(layers[3]["norm"]["mean"], layers[0]["norm"]["mean"])
        self.assertGreater(layers[0]["norm"]["mean"], 0)
        drawing = xml.etree.ElementTree.parse(self.folder / "drift.svg")
        circles = [entry for entry in drawing.iter() if entry.tag.endswith("circle")]
        self.assertEqual(len(circles), 4 * 5)
        self.assertIn("no element differs", self.run_program("drift", "--target", "host", *small, status=0))
        printed = self.run_program("drift", "--gradient-policy", "contraction=none", "--dtype", "fp32", *small,
                                   "--json", "gradient.json", status=0)
        self.assertIn("gradient policy contraction=none against policy native", printed)
        self.assertIn("gradient behind one norm", printed)
        layers = json.loads((self.folder / "gradient.json").read_text())["layers"]
        self.assertEqual([layers[0]["norm"]["mean"], layers[3]["gradient"]["weight"]["mean"]], [0, 0])
        self.assertGreater(layers[0]["gradient"]["stream"]["mean"], layers[3]["gradient"]["stream"]["mean"])

    def test_wrong_use_of_drift(self):
        self.assertIn("none of them", self.run_program("drift", status=2))
        self.assertIn("both", self.run_program("drift", "--policy", "native", "--target", "host", status=2))
        self.assertIn("fp23", self.run_program("drift", "--policy", "weight=fp23", status=2))
        self.assertIn("--gradient-policy: ", self.run_program("drift", "--gradient-policy", "contraction=5", status=2))
        self.assertIn("mutant 'none' is not built", self.run_program("drift", "--target", "mutant:none", status=3))


if __name__ == "__main__":
    unittest.main()

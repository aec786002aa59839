#!/usr/bin/env python3
"""The pages that list what the code has, held against the code: CONTRIBUTING's table of places to change, the properties, the
environment variables, the commands, the presets."""
import json
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def text(name):
    return (ROOT / name).read_text()


def rows(page, head):
    """The rows of the table of `page` that begins with `head`."""
    lines = text(page).split(head, 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def names_in(pattern, *files):
    return [name for file in files for name in re.findall(pattern, text(file), re.MULTILINE)]


# The property table, and the operations and formats, by their rows.
PROPERTIES = names_in(r"Property\{\s*\"([a-z0-9-]+)\"", "properties/all_properties.cpp")
OPERATIONS = names_in(r"^ +(?:\{Operation::\w+, )?\"(\w*rms_norm\w*)\",", "corpus/operation.cpp")
FORMATS = [row[0] for row in rows("oracle/CONTRACT.md", "## Formats\n\n")]
POLICY_VALUES = [row[1].strip("`") for row in rows("oracle/CONTRACT.md", "a policy is one\nvalue per axis, written `weight=fp32,sum=mixed`.\n\n")]

READS = re.compile(r'(?:getenv|environment|beside_program)\(\s*"(NORMPROOF_\w+)"|environ(?:\.get\(|\[)"(NORMPROOF_\w+)"')


class PlacesToChange(unittest.TestCase):
    TABLE = {row[0]: row[1] for row in rows("CONTRIBUTING.md", "this table against the code.\n\n")}

    def files(self, thing):
        """The files that the row of `thing` names."""
        named = re.findall(r"`([\w./-]+/[\w./-]+)`|\]\(([\w./-]+)", self.TABLE[thing])
        return [code or link for code, link in named]

    def holds(self, thing, file, names):
        self.assertIn(file, self.files(thing), f"CONTRIBUTING, row '{thing}'")
        found = text(file)
        for name in names:
            self.assertIn(name, found, f"CONTRIBUTING sends who adds {thing} to {file}, which has nothing of '{name}'")

    def test_every_file_is_there(self):
        for thing in self.TABLE:
            for file in self.files(thing):
                # corpus/regressions/ is made when the first one is stored.
                if not re.search(r"GPU|NAME|^corpus/regressions/$", file):
                    self.assertTrue((ROOT / file).exists(), f"CONTRIBUTING, row '{thing}': there is no {file}")

    def test_operations(self):
        self.assertGreaterEqual(len(OPERATIONS), 4)
        self.holds("an operation", "corpus/operation.cpp", [f'"{name}"' for name in OPERATIONS])
        self.holds("an operation", "corpus/operation.h", OPERATIONS)
        self.holds("an operation", "kernels/normproof_kernels.h", [f"normproof_{name}(" for name in OPERATIONS])
        self.holds("an operation", "properties/targets/kernel_functions.h", OPERATIONS)

    def test_judged_operations(self):
        thing = next(name for name in self.TABLE if name.startswith("an operation with statistics"))
        judged = re.findall(r"\"(\w+)\"", names_in(r"^JudgedOperation = Literal\[([^\]]*)", "python/normproof/_types.py")[0])
        self.assertGreaterEqual(len(judged), 16)
        self.holds(thing, "oracle/judged/rows.h", [f"{name}()" for name in judged])
        self.holds(thing, "oracle/judged/operation.cpp", [f"&{name}()" for name in judged])

    def test_dtypes(self):
        self.assertEqual(len(FORMATS), 7)
        self.holds("a dtype", "corpus/dtype.h", FORMATS)
        self.holds("a dtype", "corpus/case_names.h", [f'"{name}"' for name in FORMATS])
        self.holds("a dtype", "oracle/formats.h", FORMATS)

    def test_rounding_policies(self):
        self.assertGreater(len(POLICY_VALUES), 30)
        self.holds("a rounding policy", "oracle/policy_rows.cpp", [f'"{value}"' for value in POLICY_VALUES])
        self.holds("a rounding policy", "oracle/policy.h", ["enum class WeightPolicy"])
        self.holds("a rounding policy", "properties/assess/plain_kernel.cpp", ["switch (policy_.weight)", "default:"])
        self.holds("a rounding policy", "properties/detective/policy_class.cpp", ["WeightPolicy::"])
        engines = names_in(r"NamedPolicy\{\"([\w.]+)\"", "oracle/policy.cpp")
        self.assertGreater(len(engines), 10)
        self.holds("a rounding policy", "python/normproof/_types.py", [f'"{engine}"' for engine in engines])

    def test_properties(self):
        self.assertGreaterEqual(len(PROPERTIES), 15)
        self.holds("a property", "properties/all_properties.cpp", PROPERTIES)

    def test_fuzzers(self):
        for name in names_in(r"^normproof_add_fuzzer\((\w+) ", "fuzz/CMakeLists.txt"):
            self.assertTrue((ROOT / f"fuzz/{name}_fuzzer.cpp").exists(), name)
            self.assertTrue((ROOT / f"fuzz/{name}_fuzzer.options").exists(), name)
            self.assertIn(f"| `{name}` |", text("fuzz/README.md"), "the table of fuzz/README.md")

    def test_gpus(self):
        tables = [file.name for file in (ROOT / "kernels").glob("configuration_table_*.inc")]
        self.holds("a GPU", "kernels/configurations.cpp", tables)

    def test_presets(self):
        presets = [each["name"] for each in json.loads(text("CMakePresets.json"))["configurePresets"] if not each.get("hidden")]
        said = re.search(r"CMake presets: (.*?)\. CTest", text("CONTRIBUTING.md"), re.DOTALL)[1]
        self.assertEqual(sorted(re.findall(r"`([\w-]+)`", said)), sorted(presets))


class Pages(unittest.TestCase):
    def test_every_property_has_its_sentence(self):
        said = [name for row in rows("docs/verified.md", "(RapidCheck), each for every operation and dtype that it fits:\n\n")
                for name in row[0].split(", ")]
        self.assertEqual(sorted(said), sorted(PROPERTIES))

    def test_every_relation_has_its_sentence(self):
        relations = names_in(r"^    \{\"([a-z-]+)\",", "properties/judged/relations.cpp")
        self.assertGreaterEqual(len(relations), 13)
        said = [name for row in rows("docs/verified.md", "the relations of an operation take turns:\n\n") for name in row[0].split(", ")]
        self.assertEqual(sorted(said), sorted(relations))

    def test_every_environment_variable_is_explained(self):
        sources = [file for folder in ("bench", "cli", "corpus", "fuzz", "oracle", "properties", "python") for end in ("cpp", "h", "py")
                   for file in (ROOT / folder).glob(f"**/*.{end}") if "test" not in file.relative_to(ROOT).parts]
        read = set(re.findall(r"\$\{(NORMPROOF_\w+):-", text("normproof")))
        for file in sources:
            for found in READS.finditer(file.read_text()):
                read.add(found[1] or found[2])
        said = set(re.findall(r"^\| .*?`(NORMPROOF_\w+)`", text("docs/environment.md"), re.MULTILINE))
        self.assertEqual(said, read)

    def test_every_command_is_listed(self):
        commands = names_in(r"^    \{\"([a-z-]+)\",", "cli/main.cpp")
        self.assertGreaterEqual(len(commands), 16)
        said = re.findall(r"^\| `([a-z-]+)[ `]", text("docs/commands.md"), re.MULTILINE)
        self.assertEqual(sorted(said), sorted([*commands, "test", "coverage"]))


if __name__ == "__main__":
    unittest.main()

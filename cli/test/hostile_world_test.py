#!/usr/bin/env python3
"""A world that misbehaves: outputs that are no files, texts of any bytes, names that are commands, values that are no
numbers. Whatever it does, the verdict is told and nothing else happens.

Usage: hostile_world_test.py NORMPROOF FAULTY-PLUGIN ROOT [UNITTEST-ARGUMENT...]
"""
import json
import os
import pathlib
import pty
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

PROGRAM, FAULTY, ROOT = (pathlib.Path(sys.argv.pop(1)).resolve() for _ in range(3))
SEED = ROOT / "corpus" / "seeds" / "B1-fp32-weight-multiply.json"
QUICK = ("--seconds", "0", "--cases", "1", "--property-cases", "1", "--seed", "1")
INJECTION = "x;touch PWN;$(touch PWN)`touch PWN`\"'.so"
PYTHON_INJECTION = '";__import__("os").system("touch PWN");"#.so'


class World(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        shutil.copy(FAULTY, self.folder / "faulty.so")
        (self.folder / "case.json").write_text(json.dumps({
            "normproof_case": 1, "operation": "rms_norm", "dtype": "bf16", "shape": [1, 8], "epsilon": 1e-6,
            "input": {"bits": [" ".join(["3f80"] * 8)]}}))

    def device(self, name, minor):
        """One of this test's own, so that a program that replaces devices takes none from the machine."""
        if not os.access("/dev", os.W_OK):
            return f"/dev/{name}"
        try:
            os.mknod(self.folder / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
            open(self.folder / name, "wb").close()
        except OSError as error:
            self.skipTest(f"no leave to make a device: {error}")
        return str(self.folder / name)

    def start(self, *arguments, fault="", **more):
        return subprocess.run([PROGRAM, *arguments], cwd=self.folder, timeout=120,
                              env={**os.environ, "NORMPROOF_FAULT": fault}, **more)

    def run_program(self, *arguments, code, fault="", **more):
        done = self.start(*arguments, fault=fault, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout!r}")
        return done.stdout.decode()  # whatever was printed is UTF-8

    def shell(self, command):
        return subprocess.run(["bash", "-c", command], cwd=self.folder, capture_output=True, timeout=120)

    def assert_nothing_happened(self):
        self.assertEqual([str(path) for path in self.folder.rglob("PWN")], [])


class Outputs(World):
    def test_links_modes_and_pipes_stay_what_they_are(self):
        os.mkfifo(self.folder / "fifo")
        reader = subprocess.Popen(["cat", "fifo"], cwd=self.folder, stdout=subprocess.PIPE)
        self.run_program("drift", "--policy", "weight=fp32", "--layers", "1", "--tokens", "1", "--json", "fifo", code=0)
        self.assertIn("layers", json.loads(reader.communicate(timeout=60)[0]))
        self.assertTrue(stat.S_ISFIFO(os.stat(self.folder / "fifo").st_mode))

        (self.folder / "file").touch(mode=0o600)
        (self.folder / "link").symlink_to("file")
        self.run_program("check", "missing.json", "--json", "link", code=3)
        self.assertTrue((self.folder / "link").is_symlink())
        self.assertEqual(stat.S_IMODE(os.stat(self.folder / "file").st_mode), 0o600)
        self.assertIn("files", json.loads((self.folder / "file").read_text()))

        done = self.shell(f"'{PROGRAM}' check missing.json --json >(cat >copy); sleep 0.5")
        self.assertEqual(json.loads((self.folder / "copy").read_text())["normproof_check"], 1, done)
        # After what was printed, not in its place.
        self.shell(f"'{PROGRAM}' check missing.json --json /dev/stdout >both 2>/dev/null")
        self.assertRegex((self.folder / "both").read_text(), r'(?s)^files: 1, .*\n\{\n  "normproof_check": 1')

    def test_devices_stay_devices(self):
        null = self.device("null", 3)
        self.run_program("check", "missing.json", "--json", null, code=3)
        self.assertTrue(stat.S_ISCHR(os.stat(null).st_mode))

    def test_a_violation_is_told_whatever_cannot_be_written(self):
        full = self.device("full", 7)
        text = self.run_program("verify", *QUICK, "--target", "./faulty.so", "--json", full, "--junit", "kept.xml",
                                code=1, fault="failed")
        self.assertIn(f"cannot write {full}: No space left on device", text)
        self.assertTrue((self.folder / "kept.xml").exists())
        for option in ("--dump", "--repro"):
            self.run_program("replay", "case.json", "--target", "./faulty.so", "--judge", "canonical", option, full,
                             code=1, fault="input-written")
            self.run_program("replay", "case.json", option, full, code=3)
        self.run_program("minimize", "case.json", "--target", "./faulty.so", "--output", full, code=1, fault="failed")
        self.run_program("drift", "--policy", "weight=fp32", "--layers", "1", "--tokens", "1", "--json", full, code=3)

    def test_what_cannot_be_printed_is_told(self):
        with open("/dev/full", "wb") as full:
            for arguments, fault, code in ((["list"], "", 3), (["verify", "--help"], "", 3), (["--version"], "", 3),
                                           (["replay", "case.json"], "", 3),
                                           (["replay", "case.json", "--target", "./faulty.so"], "failed", 1)):
                done = self.start(*arguments, fault=fault, stdout=full, stderr=subprocess.PIPE)
                self.assertEqual((done.returncode, done.stderr),
                                 (code, b"normproof: cannot write to standard output: No space left on device\n"), arguments)
        done = self.shell(f"'{PROGRAM}' list >&-")
        self.assertEqual((done.returncode, done.stderr), (3, b"normproof: cannot write to standard output: Bad file descriptor\n"))
        # A file that is opened does not become standard output.
        self.shell(f"'{PROGRAM}' check missing.json --json closed.json <&- >&- 2>&-")
        self.assertIn("files", json.loads((self.folder / "closed.json").read_text()))

    def test_new_target_on_a_full_disk_can_be_repeated(self):
        (self.folder / "disk").mkdir()
        command = (f"mount -t tmpfs -o size=12k small disk && cd disk && {{ '{PROGRAM}' new-target mine; echo $?; ls -A; "
                   f"mount -o remount,size=1m small . && '{PROGRAM}' new-target mine >/dev/null; echo $?; }}")
        done = subprocess.run(["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "bash", "-c", command],
                              cwd=self.folder, capture_output=True, text=True, timeout=60)
        if not done.stdout:
            self.skipTest(f"no leave to mount a disk: {done.stderr}")
        self.assertEqual(done.stdout, "3\n0\n", done.stderr)
        self.assertIn("No space left on device", done.stderr)


class Texts(World):
    SHOWN = r"\x1b[31m\xff\xfe]]>\x07 grün <b>"

    def reports(self, fault, code):
        text = self.run_program("verify", *QUICK, "--target", "./faulty.so", "--json", "a.json", "--junit", "a.xml", "--html",
                                "a.html", "--sarif", "a.sarif", "--keep-going", fault=fault, code=code)
        documents = {name: (self.folder / name).read_text() for name in ("a.json", "a.xml", "a.html", "a.sarif")}
        for name in ("a.json", "a.sarif"):
            documents[name] = json.dumps(json.loads(documents[name]), ensure_ascii=False).replace("\\\\", "\\")
        documents["a.xml"] = "".join(xml.etree.ElementTree.fromstring(documents["a.xml"]).itertext())
        return text, documents

    def test_a_plug_in_may_say_any_bytes(self):
        for fault, said in (("hostile-failed", self.SHOWN), ("hostile-print", self.SHOWN)):
            text, documents = self.reports(fault, 1)
            for name, written in [("printed", text), *documents.items()]:
                shown = said.replace("<", "&lt;").replace(">", "&gt;") if name == "a.html" else said
                self.assertIn(shown, written, f"{fault} {name}")
            self.assertIsNone(re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text))
        text, documents = self.reports("hostile-not-taken", 3)
        self.assertIn("not taken", text)
        self.assertIn(self.SHOWN, documents["a.json"])

    def test_a_terminal_gets_no_control_characters_but_the_progress_line(self):
        controller, terminal = pty.openpty()
        done = self.start("replay", "case.json", "\x1b[31m.json", "--target", "./faulty.so", fault="hostile-failed",
                          stdout=terminal, stderr=terminal)
        os.close(terminal)
        text = b""
        try:
            while chunk := os.read(controller, 65536):
                text += chunk
        except OSError:
            pass
        os.close(controller)
        self.assertEqual(done.returncode, 1, text)
        self.assertNotIn(b"\x1b", text.replace(b"\r\x1b[K", b""))
        self.assertNotIn(b"\x07", text)
        self.assertIn(rb"\x1b[31m.json", text)

    def test_paths_may_be_any_bytes(self):
        name = b"\xff\x1b]0;x\x07\n.so"
        library = os.fsencode(self.folder) + b"/" + name
        shutil.copy(FAULTY, library)
        shutil.copy(self.folder / "case.json", library + b".json")
        shown = r"\xff\x1b]0;x\x07"
        text = self.run_program("verify", *QUICK, "--target", b"./" + name, "--json", "a.json", "--junit", "a.xml", "--html",
                                "a.html", "--findings", b"found" + name, code=1, fault="failed")
        self.assertIn(shown, text)
        self.assertIn(shown, json.loads((self.folder / "a.json").read_text())["target"])
        xml.etree.ElementTree.parse(self.folder / "a.xml")
        self.assertIn(shown, (self.folder / "a.html").read_text())
        # The printed command finds the case again.
        replay = re.search(r"replay:  normproof (.*)", text)[1]
        done = subprocess.run(["bash", "-c", f"'{PROGRAM}' {replay}"], cwd=self.folder, capture_output=True, timeout=60,
                              env={**os.environ, "NORMPROOF_FAULT": "failed"})
        self.assertEqual(done.returncode, 1, done)
        self.run_program("check", name + b".json", "--json", "a.json", code=2)
        self.assertIn(shown, json.loads((self.folder / "a.json").read_text())["files"][0]["file"])
        self.run_program(b"\xff\x1b", code=2)
        self.run_program("verify", b"--target", b"\xff\x1b", code=3)

    def test_a_long_path_does_not_lose_the_finding(self):
        parts = ["d" * 255] * 15 + ["d" * 170]
        folder = self.folder
        for part in parts:
            folder = folder / part
            folder.mkdir()
        shutil.copy(FAULTY, folder / "a.so")
        text = self.run_program("verify", *QUICK, "--target", "./" + "/".join(parts) + "/a.so", code=1, fault="failed")
        self.assertNotIn("could not be written", text)


class Quoting(World):
    def test_printed_commands_name_what_was_meant(self):
        for name in (INJECTION, PYTHON_INJECTION, "-x", "a b"):
            shutil.copy(FAULTY, self.folder / name)
            shutil.copy(self.folder / "case.json", self.folder / (name + ".json"))
            text = self.run_program("verify", *QUICK, "--no-shrink", "--target", "./" + name, "--findings", f"f{name}", code=1,
                                    fault="failed")
            text += self.run_program("minimize", "case.json", "--target", "./" + name, f"--output=-{name}", code=1, fault="failed")
            text += self.run_program("replay", "./" + name + ".json", "--target", "./" + name, code=1, fault="failed")
            commands = re.findall(r"(?:replay|explain):  ?normproof (.*)", text)
            self.assertEqual(len(commands), 3, text)
            for command in commands:
                done = subprocess.run(["bash", "-c", f"'{PROGRAM}' {command}"], cwd=self.folder, capture_output=True, text=True,
                                      timeout=60, env={**os.environ, "NORMPROOF_FAULT": "failed"})
                self.assertEqual(done.returncode, 1, f"{command}\n{done.stdout}{done.stderr}")
            self.assert_nothing_happened()

    def test_check_and_the_pages_quote_too(self):
        name = INJECTION + ".json"
        self.run_program("replay", "case.json", "--target", "./faulty.so", "--dump", "a.safetensors", code=0)
        case = json.loads((self.folder / "case.json").read_text())
        case["outputs"] = {"out": {"bits": [" ".join(["3f81"] * 8)]}}
        (self.folder / name).write_text(json.dumps(case))
        text = self.run_program("check", name, "--html", "a.html", code=1)
        command = re.search(r"which policy is it\? normproof (.*)", text)[1]
        done = self.shell(f"'{PROGRAM}' {command}")
        self.assertIn(done.returncode, (0, 1), done)
        self.assertIn(name.encode(), done.stdout)
        self.assert_nothing_happened()

    def test_the_repro_script_runs_nothing_but_itself(self):
        for name in (PYTHON_INJECTION, '"""\nimport os;os.system("touch PWN")\n"""', "\\", "\xff"):
            shutil.copy(FAULTY, self.folder / name)
            self.run_program("replay", "case.json", "--target", "./" + name, "--judge", "canonical", "--repro", "repro.py", code=0)
            done = subprocess.run(["/usr/bin/python3", "repro.py"], cwd=self.folder, capture_output=True, text=True, timeout=60)
            if "No module named 'numpy'" in done.stderr:
                self.skipTest("no numpy")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assert_nothing_happened()

    def test_new_target_prints_commands_that_work(self):
        (self.folder / "a b").mkdir()
        text = self.run_program("new-target", "a b/mine", code=0)
        self.assertIn("cmake -S 'a b/mine' -B 'a b/mine/build'", text)
        self.assertIn("--target './a b/mine/build/libmine.so'", text)

    def test_a_plus_sign_in_a_name_divides_nothing(self):
        for name in ("a+b.so", "host+b.so"):
            shutil.copy(FAULTY, self.folder / name)
            for target in (name, "./" + name, f"host+{name}", f"{name}+host"):
                self.run_program("replay", "case.json", "--target", target, "--judge", "witness", code=0)
            self.run_program("replay", "case.json", "--target", "host", "--also", name, "--judge", "witness", code=0)


class Values(World):
    def test_values_that_are_no_numbers_are_refused_by_name(self):
        refused = [("--seconds", value) for value in ("nan", "-nan", "inf", "-1", "1e999", "", "1s", "0x1p3", " 1", "1,5")]
        refused += [("--seed", value) for value in ("-1", "18446744073709551616", "0x10", "", "1e3", "+1", " 1", "1 ", "nan", "1.5")]
        refused += [("--cases", value) for value in ("9223372036854775808", "-1", "1e3", "")]
        refused += [("--jobs", value) for value in ("4294967297", "0", "-1", "")]
        refused += [("--property-cases", value) for value in ("4294967297", "0", "")]
        refused += [("--shard", value) for value in ("-1/2", "1/-2", "1/18446744073709551617", "0x1/2", "1/2/3", "/", "")]
        refused += [(option, "") for option in ("--policy", "--target", "--json", "--output", "--corpus", "--also", "--op", "--html")]
        for option, value in refused:
            named = [f"{option}={value}"] if value else [option, ""]
            text = self.run_program("verify", *named, *([] if option == "--seed" else ["--seed=1"]), code=2)
            self.assertIn(option, text)
            self.assertIn(value.strip() or "''", text)
        for option in ("--epsilon", "--policy", "--rows", "--sum-depth"):
            self.assertIn(option, self.run_program("check", "case.json", option, "", code=2))
        self.assertIn("--minutes", self.run_program("fuzz", "--minutes", "nan", code=2))

    def test_numbers_are_decimal(self):
        for seed, read in (("010", 10), ("0", 0), ("18446744073709551615", 2**64 - 1), ("00000000000000000000007", 7)):
            text = self.run_program("drift", "--policy", "weight=fp32", "--layers", "01", "--tokens", "1", "--hidden", "8",
                                    "--vocabulary", "2", "--seed", seed, code=0)
            self.assertIn(f"seed {read}\n", text)

    def test_a_policy_says_each_axis_once(self):
        for policy in ("weight=fp32,weight=native", "weight=fp32,weight=fp32", "sum_depth=1,sum_depth=2", "flashinfer,sum=mixed,sum=mixed"):
            text = self.run_program("replay", "case.json", "--policy", policy, code=2)
            self.assertIn("is given twice", text)
        self.run_program("replay", "case.json", "--target", "./faulty.so", "--policy", "flashinfer,weight=native", code=0)


class Cases(World):
    def test_what_is_no_json_file_is_refused(self):
        text = (self.folder / "case.json").read_text()
        (self.folder / "nul.json").write_bytes(text.encode() + b"\0{hidden}")
        (self.folder / "inside.json").write_bytes(text.encode().replace(b"rms_norm", b"rms\0norm"))
        (self.folder / "bom.json").write_bytes(b"\xef\xbb\xbf" + text.encode())
        os.mkfifo(self.folder / "fifo.json")
        for name, reason in (("nul.json", f"NUL character stands at byte {len(text)}"), ("inside.json", "NUL character"),
                             ("bom.json", "byte order mark"), ("fifo.json", "FIFO")):
            for command in ("replay", "check", "explain"):
                self.assertIn(reason, self.run_program(command, name, code=2))
        # One of them hides nothing of the others.
        (self.folder / "missing.json").symlink_to("nowhere")
        printed = self.run_program("replay", ".", "--target", "./faulty.so", code=1, fault="failed")
        self.assertIn("1 case on target ./faulty.so: 0 conform, 1 violate, 5 files could not be read", printed)
        printed = self.run_program("verify", *QUICK, "--corpus", ".", code=3)
        self.assertEqual(printed.count("NOT CHECKED"), 5 + printed.count("combinations of judged operations"), printed)

    def test_a_pipe_is_read(self):
        self.assertEqual(self.shell(f"'{PROGRAM}' replay <(sleep 0.2; cat case.json)").returncode, 0)
        self.assertEqual(self.shell(f"cat case.json | '{PROGRAM}' replay /dev/stdin").returncode, 0)


class Endings(World):
    def test_identify_tells_that_a_question_killed_the_target(self):
        text = self.run_program("identify", "--target", "./faulty.so", "--dtype", "bf16", "--rows", "8", code=1, fault="crash:511")
        self.assertRegex(text, r"\d+ of \d+ questions not answered by the target")
        self.run_program("identify", "--target", "./faulty.so", "--dtype", "bf16", "--rows", "8", code=0)

    def test_identify_tells_of_stray_writes(self):
        for fault in ("stray-write", "input-written"):
            text = self.run_program("identify", "--target", "./faulty.so", "--dtype", "bf16", "--rows", "8", code=1, fault=fault)
            self.assertRegex(text, r"\d+ of \d+ answers changed memory that is not the output's")
        text = self.run_program("identify", "--target", "./faulty.so", "--op", "rms_norm", "--rows", "8", code=3, fault="failed")
        self.assertIn("nothing was identified", text)

    def test_the_script_cannot_make_its_folder(self):
        script = self.folder / "normproof"
        shutil.copy(ROOT / "normproof", script)
        (self.folder / "build").touch()  # a file is in its place
        done = subprocess.run([script, "list"], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "NORMPROOF_NO_INSTALL": "1"})
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertRegex(done.stderr, "build cannot be made|packages are missing")
        done = subprocess.run([script, "test"], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "NORMPROOF_NO_INSTALL": "1", "TMPDIR": "/nowhere"})
        self.assertEqual(done.returncode, 3, done.stderr)


if __name__ == "__main__":
    unittest.main()

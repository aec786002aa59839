"""What hostile_world.py tries on files, options, names, outputs and plug-ins: each group makes trials, the command lines and what
must come of them, from its random numbers, the program and a plug-in with faults on demand."""
import collections
import contextlib
import json
import os
import pathlib
import re
import shutil
import stat
import struct
import subprocess

SECONDS = 40  # for one trial, on a busy machine
QUICK = ["--seconds", "0", "--cases", "1", "--property-cases", "1", "--seed", "1"]
DRIFT = ["drift", "--policy", "weight=fp32", "--layers", "1", "--tokens", "1", "--hidden", "8", "--vocabulary", "2"]
HOSTILE_NAMES = [
    "x;touch PWN;", "$(touch PWN)", "`touch PWN`", "it's", 'a"b', "a b", "-x", "--help", "a+b", "host+x", "new\nline",
    "\x1b[31mred", "\x9b31m", "\u202egnp", "tab\t", "\\", "*", "~", "#", "%s%n", "{}", "{0:>99999}", "<b>&", "]]>",
    "\udcff\udcfe", "]" * 40, "é" * 60, "n" * 240, '";__import__("os").system("touch PWN");"#',
    '"""\nimport os;os.system("touch PWN")\n"""',
]
NO_NUMBERS = [
    "", " ", "nan", "-nan", "inf", "-inf", "-1", "+1", "1e999", "0x10", "1_000", "1,5", "1 ", " 1", "one",
    "18446744073709551616", "99999999999999999999999999", "1;2", "1\n2", "\x1b[1m", "\udcff", "--", "1/2/3", "\u0663",
]

Trial = collections.namedtuple("Trial", "name arguments codes prepare check environment before during")


def trial(name, arguments, codes, prepare=None, check=None, environment=None, before="", during=None):
    """`codes`: exit codes that are right, -N for an end by signal N. `prepare(folder)` sets the stage, `check(folder, printed)`
    returns what is wrong. `before`: shell commands that run first in the program's own shell. `during(process, log)` does
    something to the program while it runs; its standard output goes to the file `log`."""
    codes = codes if isinstance(codes, tuple) else (codes,)
    return Trial(name, arguments, codes, prepare, check, environment or {}, before, during)


CASE = {
    "normproof_case": 1,
    "operation": "rms_norm",
    "dtype": "bf16",
    "shape": [2, 8],
    "epsilon": 1e-6,
    "input": {"bits": [" ".join(["3f80"] * 8)] * 2},
}


def judged_case():
    return dict(CASE, outputs={"out": {"bits": [" ".join(["3f81"] * 8)] * 2}})


def safetensors(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def dump():
    ones = b"\x80\x3f" * 8
    header = {
        "__metadata__": {"operation": "rms_norm", "epsilon": "1e-6"},
        "x": {"dtype": "BF16", "shape": [1, 8], "data_offsets": [0, 16]},
        "out": {"dtype": "BF16", "shape": [1, 8], "data_offsets": [16, 32]},
    }
    return safetensors(header, ones + ones)


def damaged(draw, data):
    """Something happened to these bytes."""
    data = bytearray(data)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(data))
        kind = draw.randrange(9)
        if kind == 0:
            data[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            data[at:at] = draw.choice(
                [b"\0", b"\xff", b"\xef\xbb\xbf", b"\x1b[31m", b"\xed\xa0\x80", b"\n", b'"', b"\\", b"]", b"{"]
            )
        elif kind == 3:
            data[at : at + draw.randint(1, 9)] = b""
        elif kind == 4:
            data[at:at] = draw.choice([b"-1", b"1e999", b"9" * 30, b"NaN", b"null", b"[[[[", b"{}", b'"' + b"x" * 99999 + b'"'])
        elif kind == 5:
            data += data[:at]
        elif kind == 6:
            data[at:at] = b"[" * 2000
        elif kind == 7:
            number = re.search(rb"\d+", bytes(data[at:]))
            if number:
                data[at + number.start() : at + number.end()] = draw.choice(
                    [b"-1", b"9223372036854775808", b"1e308", b"0", b"4294967296", b"65536"]
                )
        else:
            data = bytearray(draw.choice([b"", b"\0" * 64, b"\xff" * 64, b"{}", b"[]", b"null", b"\xef\xbb\xbf{}"]))
        if not data:
            break
    return bytes(data)


def files(draw, _program, _plugin):
    """Damaged cases, dumps and results: refused with the file's name, or judged."""
    for index in range(110):
        data = damaged(draw, json.dumps(judged_case() if index % 2 else CASE, indent=1).encode())
        command = draw.choice(
            [
                ["replay", "a.json"],
                ["check", "a.json", "--json", "r.json"],
                ["explain", "a.json"],
                ["identify", "a.json"],
                ["minimize", "a.json", "--target", "host"],
            ]
        )
        yield trial(
            f"damaged case {index}", command, (0, 1, 2), lambda folder, data=data: (folder / "a.json").write_bytes(data)
        )
    for index in range(60):
        data = damaged(draw, dump())
        command = draw.choice(["check", "identify", "minimize"])
        yield trial(
            f"damaged dump {index}",
            [command, "a.safetensors"],
            (0, 1, 2),
            lambda folder, data=data: (folder / "a.safetensors").write_bytes(data),
        )
    result = json.dumps(
        {
            "normproof_verify": 1,
            "target": "host",
            "shard": {"index": 1, "count": 1},
            "run": {"version": "0"},
            "combinations": [],
        }
    )
    for index in range(30):
        data = damaged(draw, result.encode())
        yield trial(
            f"damaged result {index}", ["merge", "a.json"], 2, lambda folder, data=data: (folder / "a.json").write_bytes(data)
        )
    strange = {
        "fifo": lambda path: os.mkfifo(path),
        "folder": lambda path: path.mkdir(),
        "link to nowhere": lambda path: path.symlink_to("nowhere"),
        "link to itself": lambda path: path.symlink_to(path.name),
        "empty": lambda path: path.touch(),
        "endless": lambda path: path.symlink_to("/dev/zero"),
        "no text": lambda path: path.symlink_to("/dev/null"),
        "sparse": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 33),
    }
    for kind, make in strange.items():
        for command, name in (
            ("replay", "s.json"),
            ("check", "s.json"),
            ("check", "s.safetensors"),
            ("explain", "s.json"),
            ("minimize", "s.safetensors"),
            ("identify", "s.safetensors"),
            ("merge", "s.json"),
        ):
            if command == "merge" and kind in ("fifo", "endless", "sparse"):
                continue  # what a shard wrote, and nothing else, is handed to merge
            yield trial(
                f"{command} {kind} {name}", [command, name], (2, 3), lambda folder, make=make, name=name: make(folder / name)
            )
        yield trial(
            f"corpus with {kind}",
            ["verify", *QUICK, "--corpus", "corpus"],
            3,
            lambda folder, make=make: ((folder / "corpus").mkdir(), make(folder / "corpus" / "s.json")),
        )


def options(_draw, _program, _plugin):
    """Values that are none: refused by the option's name, with the value."""

    def refused(option, value):
        shown = value.strip()
        return lambda folder, printed: (
            None
            if option in printed and (not shown.isascii() or not shown.isprintable() or shown in printed)
            else f"{option} {value!r} is not named"
        )

    numbers = [
        ("verify", "--seconds"),
        ("verify", "--cases"),
        ("verify", "--seed"),
        ("verify", "--jobs"),
        ("verify", "--shard"),
        ("drift", "--layers"),
        ("check", "--rows"),
        ("fuzz", "--minutes"),
        ("identify", "--hidden"),
        ("explain", "--row"),
    ]
    for command, option in numbers:
        for value in NO_NUMBERS:
            if value == "+1" and option in ("--seconds", "--minutes") or "\0" in value:
                continue
            first = ["case.json"] if command in ("check", "explain") else []
            yield trial(f"{command} {option} {value!r}", [command, *first, option, value], 2, check=refused(option, value))
    texts = ["", "\x1b[31m", "\udcff", "no such", "x" * 5000, "native,native", "weight=fp32,weight=native", "=", ","]
    for command, option in (
        ("replay", "--policy"),
        ("replay", "--judge"),
        ("verify", "--op"),
        ("verify", "--dtype"),
        ("replay", "--target"),
        ("replay", "--also"),
        ("check", "--epsilon"),
        ("drift", "--policy"),
    ):
        first = ["case.json"] if command in ("replay", "check") else []
        for value in texts:
            yield trial(f"{command} {option} {value[:20]!r}", [command, *first, option, value], (2, 3))
    for words in (
        [],
        ["no-such"],
        ["\x1b[31m"],
        ["verify", "--no-such"],
        ["replay"],
        ["verify", "extra"],
        ["--", "verify"],
        ["verify", "--seed"],
    ):
        yield trial(f"command line {words}", words, 2)


def names(_draw, program, plugin):
    """Hostile names of cases, plug-ins and folders: the verdict is told, its commands work, and nothing else happens."""

    def commands_work(folder, printed):
        commands = re.findall(r"^  (?:replay): +normproof (.*)$", printed, re.MULTILINE)
        if not commands:
            return "no command is printed"
        for command in commands:
            done = subprocess.run(
                ["bash", "-c", f'"$PROGRAM" {command}'],
                cwd=folder,
                capture_output=True,
                timeout=SECONDS,
                env=dict(os.environ, PROGRAM=str(program), NORMPROOF_FAULT="failed"),
            )
            if done.returncode != 1:
                return f"{command} ends with {done.returncode}: {done.stderr.decode(errors='replace')}"
        return None

    for name in HOSTILE_NAMES:
        yield trial(
            f"plug-in named {name[:20]!r}",
            [
                "verify",
                *QUICK,
                "--no-shrink",
                "--target",
                f"./{name}.so",
                "--findings",
                f"./f{name[:200]}",
                "--json",
                "r.json",
                "--junit",
                "r.xml",
                "--html",
                "r.html",
                "--sarif",
                "r.sarif",
            ],
            1,
            lambda folder, name=name: shutil.copy(plugin, folder / f"{name}.so"),
            commands_work,
            {"NORMPROOF_FAULT": "failed"},
        )
        write = lambda folder, name=name: (folder / f"{name}.json").write_text(json.dumps(judged_case()))
        yield trial(f"case named {name[:20]!r}", ["check", f"./{name}.json", "--json", "r.json", "--html", "r.html"], 1, write)
        yield trial(
            f"output named {name[:20]!r}",
            ["check", "judged.json", "--json", f"./{name}", "--html", "r.html"],
            1,
            check=lambda folder, printed, name=name: None if (folder / name).is_file() else "it is not written",
        )
        yield trial(f"no case named {name[:20]!r}", ["replay", f"./{name}.json"], 2)
        yield trial(f"no target named {name[:20]!r}", ["replay", "case.json", "--target", f"./{name}"], 3)


def outputs(_draw, _program, _plugin):
    """Places where outputs go: what is no file stays what it is, and a violation is told whatever cannot be written."""

    def link_to_a_device(major, minor):
        # Root gets a device of its own: a program that replaces devices must not take the machine's. Others cannot.
        def make(path):
            device = pathlib.Path({3: "/dev/null", 7: "/dev/full"}[minor])
            if os.geteuid() == 0:
                with contextlib.suppress(OSError):
                    own = path.parent / "device"
                    os.mknod(own, stat.S_IFCHR | 0o666, os.makedev(major, minor))
                    own.open("ab").close()  # where a mount forbids devices
                    device = own
            path.symlink_to(device)

        return make

    def still(test):
        return lambda folder, printed: (None if test(os.lstat(folder / "o").st_mode) else "it is another kind of file now")

    places = {
        "a file of mode 600": (lambda path: path.touch(mode=0o600), 0, still(lambda mode: stat.S_IMODE(mode) == 0o600)),
        "a link": (lambda path: path.symlink_to("t"), 0, still(stat.S_ISLNK)),
        "a link to a link": (lambda path: (path.symlink_to("p"), (path.parent / "p").symlink_to("t")), 0, still(stat.S_ISLNK)),
        "a link to /dev/null": (link_to_a_device(1, 3), 0, still(stat.S_ISLNK)),
        "a link to /dev/full": (link_to_a_device(1, 7), 3, still(stat.S_ISLNK)),
        "a link to itself": (lambda path: path.symlink_to("o"), (2, 3), still(stat.S_ISLNK)),
        "a folder": (lambda path: path.mkdir(), (2, 3), still(stat.S_ISDIR)),
        "a name without a folder": (lambda path: None, 0, None),
    }
    commands = [
        (["check", "conforming.json"], ["--json", "--html"], 0),
        (["check", "judged.json"], ["--json", "--html"], 1),
        (DRIFT, ["--json", "--svg"], 0),
        (["replay", "case.json"], ["--dump", "--repro"], 0),
        (["minimize", "judged.json"], ["--output"], 1),
    ]
    for what, (make, code, check) in places.items():
        for command, names_of, usual in commands:
            for option in names_of:
                codes = (usual,) if code == 0 else (code if isinstance(code, tuple) else (code,))
                if code == 3 and usual == 1:
                    codes = (1,)
                name = "deep/er/o" if what.endswith("without a folder") else "o"
                yield trial(
                    f"{option} of {command[0]} to {what} ({usual})",
                    [*command, option, name],
                    codes,
                    lambda folder, make=make: make(folder / "o"),
                    check,
                )
    for command, names_of, usual in commands:
        for option in names_of:
            yield trial(
                f"{option} of {command[0]} to a pipe ({usual})",
                [*command, option, "/dev/fd/5"],
                usual,
                before="exec 5> >(cat >copy)",
            )
            yield trial(
                f"{option} of {command[0]} to a pipe that nobody reads ({usual})",
                [*command, option, "/dev/fd/5"],
                usual or 3,
                before="exec 5> >(true); sleep 0.1",
            )
            yield trial(
                f"{option} of {command[0]} without standard streams ({usual})",
                [*command, option, "o"],
                usual or 3,
                before="exec <&- >&- 2>&-",
                check=lambda folder, printed: None if (folder / "o").is_file() else "it is not written",
            )
        yield trial(f"{command[0]} prints to a full disk ({usual})", command, usual or 3, before="exec >/dev/full")


def plugins(_draw, program, plugin):
    """Plug-ins that misbehave: a finding or a reason, documents that can be read, and no process that is left."""
    faults = [
        "crash",
        "hang",
        "exit",
        "abort",
        "eat",
        "leak",
        "print",
        "not-taken",
        "written-not-taken",
        "failed",
        "bad-status",
        "stray-write",
        "input-written",
        "hostile-failed",
        "hostile-print",
        "hostile-not-taken",
        "fp32-weight",
        "load-print",
        "load-exit",
        "load-crash",
        "load-hang",
        "load-null",
        "load-abi",
        "load-no-name",
        "load-memory",
        "load-nothing",
    ]
    environment = {"NORMPROOF_PATIENCE": "0.5", "NORMPROOF_MEMORY": "256"}
    documents = ["--json", "r.json", "--junit", "r.xml", "--html", "r.html", "--sarif", "r.sarif"]
    for fault in faults:
        for command in (
            ["replay", "case.json"],
            ["explain", "case.json"],
            [
                "identify",
                "--dtype",
                "bf16",
                "--rows",
                "8",
                "--hidden",
                "64",
                "--op",
                "rms_norm",
                "--weight",
                "bf16",
                "--html",
                "r.html",
            ],
            ["minimize", "case.json"],
            ["verify", *QUICK, "--no-shrink", "--op", "rms_norm", "--dtype", "bf16", *documents],
        ):
            if fault == "leak" and command[0] != "replay":
                continue  # grows for as long as it is called
            codes = 3 if fault.startswith("load-") else (0, 1) if fault in ("leak", "fp32-weight", "not-taken") else (1, 3)
            if fault in ("not-taken", "hostile-not-taken"):
                codes = (0, 3)
            yield trial(
                f"{command[0]} on a plug-in that does {fault}",
                [*command, "--target", "./faulty.so"],
                codes,
                environment=dict(environment, NORMPROOF_FAULT=fault),
            )
    for kind, make in {
        "text": lambda path: path.write_text("no library"),
        "empty": lambda path: path.touch(),
        "folder": lambda path: path.mkdir(),
        "fifo": lambda path: os.mkfifo(path),
        "half": lambda path: path.write_bytes(plugin.read_bytes()[:5000]),
        "libm": lambda path: path.symlink_to("/lib/x86_64-linux-gnu/libm.so.6"),
        "the program": lambda path: path.symlink_to(program),
    }.items():
        yield trial(
            f"no plug-in but {kind}",
            ["replay", "case.json", "--target", "./p.so"],
            3,
            lambda folder, make=make: make(folder / "p.so"),
            environment=environment,
        )


GROUPS = [files, options, names, outputs, plugins]

"""What hostile_world.py tries with little of everything, with signals, and on the report of a campaign; groups as in
hostile_trials.py."""
import json
import os
import re
import signal
import shutil
import subprocess
import time

from hostile_trials import CASE, DRIFT, HOSTILE_NAMES, QUICK, SECONDS, trial

DOCUMENTS = ["--json", "r.json", "--junit", "r.xml", "--html", "r.html", "--sarif", "r.sarif"]
# What the program prints goes through a pipe that somebody with a larger limit reads.
UNLIMITED_OUTPUT = "exec > >(cat) 2> >(cat >&2); "

def limits(_draw, _program, _plugin):
    """Little of everything: the program says that it could not, and never dies of it."""
    for limit in ("-n 16", "-n 8", "-c 0", "-s 256", "-t 20"):
        for command in (
            ["replay", "case.json"],
            ["check", "judged.json", "--json", "r.json"],
            ["replay", "case.json", "--target", "./faulty.so"],
        ):
            yield trial(f"{command[0]} under ulimit {limit} {command[-1]}", command, (0, 1, 3), before=f"ulimit {limit}")
    for variable, value in (
        ("NORMPROOF_PATIENCE", "nan"),
        ("NORMPROOF_PATIENCE", ""),
        ("NORMPROOF_PATIENCE", "-1"),
        ("NORMPROOF_MEMORY", "nan"),
        ("NORMPROOF_MEMORY", "\x1b"),
        ("NORMPROOF_WORKER", "/nowhere"),
        ("NORMPROOF_WORKER", "/bin/false"),
        ("NORMPROOF_WORKER", "/bin/true"),
    ):
        yield trial(
            f"{variable}={value!r}", ["replay", "case.json", "--target", "./faulty.so"], 3, environment={variable: value}
        )
    yield trial(
        "NORMPROOF_PROGRAM is a command",
        ["check", "judged.json"],
        1,
        environment={"NORMPROOF_PROGRAM": "x;touch PWN"},
        check=lambda folder, printed: None if "'x;touch PWN' identify" in printed else "it is not quoted",
    )
    yield trial("NORMPROOF_CORPUS is nowhere", ["verify", *QUICK], 3, environment={"NORMPROOF_CORPUS": "/nowhere"})
    yield trial("the folder is gone", ["replay", "case.json"], (2, 3), before="mkdir gone; cd gone; rmdir ../gone")
    yield trial("a new target in a folder that is a file", ["new-target", "case.json/mine"], 3)
    for name in HOSTILE_NAMES:
        yield trial(f"a new target named {name[:20]!r}", ["new-target", name], 0 if name in ("--help", "n" * 240) else 2)
    # No file may grow: what must be written cannot be, which is told; a violation stays one.
    for command, code in (
        (["verify", *QUICK, "--op", "rms_norm", "--dtype", "fp32", *DOCUMENTS], 3),
        (["check", "judged.json", "--json", "r.json", "--html", "r.html"], 1),
        (["check", "conforming.json", "--json", "r.json"], 3),
        ([*DRIFT, "--json", "r.json"], 3),
        (["replay", "case.json", "--dump", "r.safetensors"], 3),
        (["replay", "case.json", "--repro", "r.py"], 3),
        (["minimize", "judged.json", "--output", "r.json"], 1),
        (["new-target", "mine"], 3),
        (["fuzz", "--minutes", "0.02", "--fuzzers", "bin", "--folder", "c"], 3),
        (["replay", "case.json", "--target", "./faulty.so"], 3),  # its shared memory is a file, too
    ):
        yield trial(
            f"ulimit -f 0 {' '.join(command[:2])} {command[-1]}",
            command,
            code,
            stand_in_fuzzer,
            lambda folder, printed, code=code: (
                f"{left} is left" if (left := [path.name for path in folder.glob("r.*")]) else None
                if code == 1 or re.search("File too large|ulimit -f", printed) else "it does not say that no file may grow"
            ),
            before=UNLIMITED_OUTPUT + "ulimit -f 0",
        )
    # No process and no thread can be started: it does without, or says so.
    user = 60000
    for processes in (1, 2, 3, 6):
        for command, codes in (
            (["verify", *QUICK, "--op", "rms_norm", "--dtype", "fp32", "--jobs", "4", "--json", "r.json"], 0),
            (["verify", *QUICK, "--op", "rms_norm", "--dtype", "fp32", "--jobs", "4", "--target", "./faulty.so"], (0, 3)),
            (["replay", "case.json", "--target", "./faulty.so"], (0, 3)),
            (["bench", "--target", "./faulty.so", "--op", "rms", "--hidden", "128", "--tokens", "1"], (0, 3)),
            (["fuzz", "--minutes", "0.02", "--fuzzers", "bin", "--folder", "c"], (0, 3)),
        ):
            user += 1
            if processes == 1 and len(codes if isinstance(codes, tuple) else ()) == 2:
                codes = 3
            yield trial(
                f"ulimit -u {processes} {command[0]} {command[-1]}",
                command,
                codes,
                lambda folder: (stand_in_fuzzer(folder), open_to_all(folder)),
                environment={"ASAN_OPTIONS": "detect_leaks=0"},
                before=as_another_user(user) + f"ulimit -u {processes}",
            )


def as_another_user(user):
    """Root has no limit of processes: then another user calls the program."""
    if os.geteuid() != 0:
        return ""
    return f'set -- setpriv --reuid={user} --regid={user} --clear-groups -- "$@"; '


def open_to_all(folder):
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777)


# A fuzzer for a campaign: it finds one input at once, and shows with it the case of a violation.
STAND_IN = """#!/bin/sh
for argument; do
  case $argument in
    -artifact_prefix=*) prefix=${argument#-artifact_prefix=} ;;
    -set_cover_merge=*|-runs=*) exit 0 ;;
    -*) ;;
    *) input=$argument ;;
  esac
done
if [ -f "$input" ]; then
  [ -z "$NORMPROOF_CASE" ] || cp "$HOSTILE_CASE" "$NORMPROOF_CASE"
  printf 'VIOLATION on target x\\nthe target failed, rms_norm 2x8\\n==1== ERROR: libFuzzer: deadly signal\\n'
  exit 77
fi
echo '#16 NEW cov: 7 ft: 9 corp: 2/3b'
[ -z "$HOSTILE_CASE" ] || echo bytes >"${prefix}crash-1"
echo 'stat::number_of_executed_units: 42'
[ -z "$HOSTILE_CASE" ] || exit 77
sleep 1
"""


def stand_in_fuzzer(folder):
    fuzzers = folder / "bin"
    fuzzers.mkdir()
    for name, text in (("run.sh", '#!/bin/sh\nexec "$@"\n'), ("conformance_fuzzer", STAND_IN)):
        (fuzzers / name).write_text(text)
        (fuzzers / name).chmod(0o755)
    (fuzzers / "conformance_fuzzer.seeds").write_text("/nowhere/cases\n")
    (folder / "cases").mkdir()
    (folder / "cases" / "case.json").write_text(json.dumps(CASE))


def sent(number, with_line, delay):
    """Sends the signal a while after the program has begun: has printed its first line, where it prints one."""

    def send(process, log):
        deadline = time.monotonic() + SECONDS / 2
        while with_line and os.fstat(log.fileno()).st_size == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(delay)
        process.send_signal(number)

    return send


def signals(draw, _program, _plugin):
    """Somebody stops the program: a run says and writes what it has done, everything else ends; nothing is left behind."""

    def told(name, code):
        def check(folder, printed):
            if f"NOT CHECKED: stopped by {name} after" not in printed or not re.search(r"(?m)^total +\d", printed):
                return "it does not say what it has done"
            if code != 1 and "conforms" in printed:
                return "it says that all conforms"
            if missing := [each for each in DOCUMENTS[1::2] if not (folder / each).is_file()]:
                return f"{missing} are missing"
            result = json.loads((folder / "r.json").read_text())
            if (result["exit_code"], result["stopped_early"], result["stopped_by"]) != (code, True, name):
                return f"its result says {result['exit_code']} {result['stopped_by']}"
            return None if f"stopped by {name}" in (folder / "r.xml").read_text() else "r.xml does not say it"

        return check

    # Who runs this in the background may ignore SIGINT, which the program then leaves ignored.
    default = "trap - INT TERM HUP; "
    long_run = ["verify", "--seconds", "100", "--seed", "1", *DOCUMENTS]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for what, more, fault, code in (
            ("a run", [], "", 128 + number),
            ("a run that has found something", ["--target", "./faulty.so", "--keep-going"], "fp32-weight", 1),
            ("a run whose plug-in hangs", ["--target", "./faulty.so", "--corpus", "cases"], "hang", 128 + number),
        ):
            yield trial(
                f"{number.name} for {what}",
                [*long_run, *more],
                code,
                stand_in_fuzzer,
                told(number.name, code),
                {"NORMPROOF_FAULT": fault, "NORMPROOF_PATIENCE": "100"},
                default,
                sent(number, True, draw.uniform(0.5, 1)),
            )
        yield trial(
            f"{number.name} for a campaign",
            ["fuzz", "--minutes", "10", "--fuzzers", "bin", "--corpus", "cases", "--folder", "c", "--json", "r.json"],
            128 + number,
            stand_in_fuzzer,
            lambda folder, printed, number=number: (
                None if f"stopped by {number.name} after" in printed and
                json.loads((folder / "r.json").read_text())["stopped_early"] else "it does not say it"
            ),
            before=default,
            during=sent(number, True, draw.uniform(0, 1)),
        )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL):
        for command in (
            ["replay", "case.json"],
            ["explain", "case.json"],
            ["minimize", "case.json"],
            ["identify", "--op", "rms_norm", "--dtype", "bf16"],
            ["bench", "--op", "rms", "--hidden", "128", "--tokens", "1"],
        ):
            yield trial(
                f"{number.name} for {command[0]} on a plug-in that hangs",
                [*command, "--target", "./faulty.so"],
                -number,
                environment={"NORMPROOF_FAULT": "hang", "NORMPROOF_PATIENCE": "100"},
                before=default + "ulimit -c 0",
                during=sent(number, False, draw.uniform(0, 1)),
            )


def reports(_draw, _program, plugin):
    """Hostile names of a plug-in that a campaign reports: report.md can be read, its commands work, and nothing else happens."""

    def check(folder, _printed):
        found = list((folder / "c" / "findings").glob("*/report.md"))
        if len(found) != 1:
            return f"there are {len(found)} reports"
        text = found[0].read_bytes().decode()
        if control := re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text):
            return f"report.md has the control character {control[0]!r}"
        if "<b>" in re.sub(r"(?s)```.*?```|`[^`\n]*`", "", text):
            return "a name is markup"
        fences = re.findall(r"(?m)^(`{3,})", text)
        if len(fences) % 2 or "## Commands, to be called in this folder" not in text:
            return "report.md has a block without an end"
        commands = [line for line in text.rsplit(fences[-1], 2)[1].strip().splitlines() if line]
        for command in commands:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=found[0].parent,
                capture_output=True,
                timeout=SECONDS,
                env={"PATH": os.environ["PATH"], "NORMPROOF_FAULT": "failed", "HOSTILE_CASE": str(folder / "case.json")},
            )
            if done.returncode not in (1, 77):
                return f"{command} ends with {done.returncode}: {done.stderr.decode(errors='replace')}"
        return None

    for name in HOSTILE_NAMES:
        if len(name) > 100:
            continue  # what is long, and no more, says the group of names
        yield trial(
            f"report on a plug-in named {name[:20]!r}",
            ["fuzz", "--minutes", "0.02", "--fuzzers", "bin", "--corpus", "cases", "--folder", "c", "--no-regressions",
             "--fuzzer", "conformance", "--jobs", "1", "--target", f"./{name}.so"],
            1,
            lambda folder, name=name: (stand_in_fuzzer(folder), shutil.copy(plugin, folder / f"{name}.so")),
            check,
            {"NORMPROOF_FAULT": "failed", "NORMPROOF_PROGRAM": str(_program)},
            before='export HOSTILE_CASE="$PWD/case.json"',
        )


GROUPS = [limits, signals, reports]

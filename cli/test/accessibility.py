#!/usr/bin/env python3
"""The pages of --html in headless Chromium: axe-core finds nothing, light and dark, on a desk and on a phone, and nothing but tables,
drawings and code is wider than the screen.

    cli/test/accessibility.py NORMPROOF CORPUS [--axe axe.min.js] [--screenshots DIR]

NORMPROOF is the built program, CORPUS its folder of cases. Without --axe, pip downloads axe-playwright-python, which brings it. Exit
codes: 0 nothing found, 1 something found, 3 could not run.
"""
import argparse
import html
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import zipfile

PACKAGE = "axe-playwright-python==0.1.8"
WIDTHS = {"desk": 1200, "phone": 400}
SCHEMES = {"light": 1, "dark": 0}  # Chromium's preferredColorScheme

# Puts the answer into the title, which --dump-dom prints. What may be wider than the screen is scrolled by itself.
ASK = """
<script>%s</script>
<script>
addEventListener("load", async () => {
  let answer;
  try {
    const found = await axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]});
    answer = {violations: found.violations.map(rule => `${rule.id}: ${rule.help}: ${rule.nodes.map(node => node.html).slice(0, 3).join("  ")}`),
              rules: found.passes.length, dark: matchMedia("(prefers-color-scheme: dark)").matches,
              width: document.documentElement.scrollWidth, screen: innerWidth};
  } catch (error) {
    answer = {error: String(error)};
  }
  document.title = "ANSWER " + encodeURIComponent(JSON.stringify(answer)) + " END";
});
</script>
"""


def axe_source(file):
    if file:
        return pathlib.Path(file).read_text()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE], check=True)
        (wheel,) = pathlib.Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read("axe_playwright_python/axe.min.js").decode()


def pages(program, corpus, folder):
    """One of each command that has a page, good and bad ones."""
    def run(name, *arguments, codes=(0, 1)):
        file = folder / f"{name}.html"
        done = subprocess.run([program, *map(str, arguments), "--html", file], cwd=folder, capture_output=True, text=True, timeout=600)
        if done.returncode not in codes or not file.exists():
            raise RuntimeError(f"{name}: {arguments} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return file
    case = corpus / "seeds" / "B2-rms-norm-vectorized.json"
    small = ("--op", "rms_norm", "--dtype", "bf16")
    yield run("verify", "verify", *small, "--seconds", "0", "--property-cases", "1", "--seed", "1", "--json", "verify.json")
    yield run("violations", "verify", *small, "--seconds", "0", "--property-cases", "1", "--seed", "1", "--policy", "weight=fp32", "--keep-going")
    yield run("merge", "merge", "verify.json")
    yield run("replay", "replay", corpus / "models")
    yield run("replay-violates", "replay", case, "--policy", "weight=fp32")
    subprocess.run([program, "replay", case, "--dump", "dump.safetensors"], cwd=folder, check=True, capture_output=True)
    yield run("check", "check", "dump.safetensors")
    yield run("check-violates", "check", "dump.safetensors", "--policy", "weight=fp32")
    yield run("identify", "identify", "dump.safetensors")
    yield run("explain", "explain", "dump.safetensors", "--row", "0", "--column", "0")
    yield run("compare", "compare", "host", "host", *small, "--hidden", "64", "--rows-per-call", "1")
    yield run("drift", "drift", "--policy", "weight=fp32", "--layers", "3", "--tokens", "8", "--hidden", "64", "--vocabulary", "64")
    yield run("bound", "bound", "rms_norm", "--hidden", "64", "--no-search")


def asked(browser, page, axe, width, scheme, screenshots):
    """What axe says of the page."""
    text = page.read_text()
    asking = page.with_suffix(".asking.html")
    asking.write_text(text.replace("</body>", ASK % axe.replace("</script", "<\\/script") + "</body>"))
    options = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={WIDTHS[width]},2000",
               f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}"]
    if screenshots:
        subprocess.run([*options, f"--screenshot={screenshots / f'{page.stem}-{width}-{scheme}.png'}", page.as_uri()], capture_output=True, timeout=120)
    done = subprocess.run([*options, "--virtual-time-budget=20000", "--dump-dom", asking.as_uri()], capture_output=True, text=True, timeout=300)
    answer = re.search(r"ANSWER (\S+) END", html.unescape(done.stdout))
    if not answer:
        raise RuntimeError(f"{page.name}: no answer of the browser\n{done.stderr[-2000:]}")
    found = json.loads(urllib.parse.unquote(answer[1]))
    if "error" in found:
        raise RuntimeError(f"{page.name}: {found['error']}")
    if found["dark"] != (scheme == "dark") or not found["rules"]:
        raise RuntimeError(f"{page.name}: the browser did not show it {scheme}, or axe looked at nothing: {found}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("--axe", help="axe.min.js")
    parser.add_argument("--screenshots", type=pathlib.Path, help="folder for a picture of each page")
    arguments = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("accessibility: there is no chromium; the Debian package is called so", file=sys.stderr)
        return 3
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
        arguments.screenshots = arguments.screenshots.resolve()
    faults, looked = [], 0
    try:
        axe = axe_source(arguments.axe)
        with tempfile.TemporaryDirectory() as folder:
            for page in pages(arguments.program.resolve(), arguments.corpus.resolve(), pathlib.Path(folder)):
                for width in WIDTHS:
                    for scheme in SCHEMES:
                        found = asked(browser, page, axe, width, scheme, arguments.screenshots)
                        looked += 1
                        faults += [f"{page.stem}, {width}, {scheme}: {each}" for each in found["violations"]]
                        if found["width"] > found["screen"]:
                            faults.append(f"{page.stem}, {width}: {found['width']} pixels wide on a screen of {found['screen']}")
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        print(f"accessibility: {error}", file=sys.stderr)
        return 3
    for fault in faults:
        print(fault)
    print(f"{looked} pages looked at, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

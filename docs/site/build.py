#!/usr/bin/env python3
"""Builds the site of all pages, and checks it.

Usage: docs/site/build.py OUTPUT [--program NORMPROOF]    with the packages of docs/site/requirements.txt

Pages lie beside the code that they are about. Here they are copied into one folder, with links turned to where their targets are in
the site; other files that a page links to are copied as well. With --program the page of commands gets every `--help`. mkdocs
then says which links and anchors lead nowhere, and the result must load nothing from another site.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import figures
import links
import pages

ROOT = pages.ROOT
HELP_GOES_HERE = "<!-- the site puts the output of `normproof COMMAND --help` here -->"
# Loaded when a page is opened. Links that a reader follows are not.
LOADS = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=\"?((?:https?:)?//[^\" >]+)")


def place_in_site(path):
    """Pages of docs/ are at the top, all others where they are in the repository; the site's home stands for the README."""
    if path == pathlib.Path("README.md"):
        return pathlib.Path("index.md")
    return path.relative_to("docs") if path.parts[0] == "docs" else path


class Site:
    def __init__(self, folder):
        self.folder = folder
        self.pages = [page for page in pages.all_pages() if page != pathlib.Path("README.md") and page.parts[0] != ".github"]

    def link(self, page, target):
        """Where `target`, a link of `page`, leads in the site; None: it has no place there."""
        path, hash_sign, anchor = target.partition("#")
        if not path or pages.is_outside(target):
            return target
        goal = pathlib.Path(os.path.normpath(page.parent / path))
        if (ROOT / goal).is_dir():
            goal /= "README.md"
        if not (ROOT / goal).is_file():
            return None
        place = place_in_site(goal)
        if goal.suffix != ".md":
            file = self.folder / place
            if place.suffix in ("", ".template", ".cu", ".cuh", ".inc", ".patch", ".h", ".cpp", ".py"):  # a browser shows text
                file = file.with_name(file.name + ".txt")
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / goal, file)
            place = file.relative_to(self.folder)
        return os.path.relpath(place, place_in_site(page).parent) + hash_sign + anchor

    def with_links(self, page, text):
        # Code keeps what it shows: links are looked for in the text without it.
        result, done = [], 0
        for found in pages.LINK.finditer(pages.without_code(text)):
            goal = self.link(page, found[2])
            result.append(text[done:found.start()])
            label = text[found.start(1):found.end(1)]
            result.append(label[label.index("[") + 1:-2] if goal is None else f"{label}{goal})")
            done = found.end()
        return "".join(result) + text[done:]

    def write(self, help_text):
        for page in self.pages:
            text = (ROOT / page).read_text()
            if page == pathlib.Path("docs/commands.md") and help_text:
                text = text.replace(HELP_GOES_HERE, help_text)
            file = self.folder / place_in_site(page)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.with_links(page, text))


def help_of(program):
    """Every command's --help, as Markdown."""
    def said(*arguments):
        return subprocess.run([program, *arguments, "--help"], capture_output=True, text=True, check=True,
                              env={**os.environ, "COLUMNS": "100"}).stdout.rstrip()
    commands = re.findall(r"^    \{\"([a-z-]+)\",", (ROOT / "cli/main.cpp").read_text(), re.MULTILINE)
    return "\n\n".join(f"## {command}\n\n```text\n{said(command)}\n```" for command in commands)


def navigation(source):
    """The pages that mkdocs.yml does not name, for the end of its navigation."""
    settings = (ROOT / "docs/site/mkdocs.yml").read_text()
    lines = []
    for page in sorted(source.glob("**/*.md")):
        path = page.relative_to(source)
        if f": {path}\n" not in settings:
            heading = re.search(r"^# (.*)", page.read_text(), re.MULTILINE)
            title = re.sub(r'["\\\\]', "", heading[1] if heading else str(path))
            lines.append(f'      - "{title}": {path}\n')
    return "".join(lines)


def build(source, output):
    """Runs mkdocs; what it says on the way is shown where it fails."""
    config = source.parent / "mkdocs.yml"
    config.write_text((ROOT / "docs/site/mkdocs.yml").read_text()
                      .replace("handlers:\n        python:\n", f"handlers:\n        python:\n          paths: [{ROOT / 'python'}]\n")
                      .replace("ARGUMENT_LISTS", str(ROOT / "docs/site/argument_lists.py"))
                      + navigation(source) + f"docs_dir: {source}\nsite_dir: {output}\n")
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "--config-file", config],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    if done.returncode:
        sys.exit(f"mkdocs:\n{done.stdout}")


def loads_from_elsewhere(output):
    for page in sorted(output.glob("**/*.html")):
        for found in LOADS.finditer(page.read_text()):
            if not re.search(r"rel=\"?(canonical|edit)", found[0]):
                yield f"{page.relative_to(output)} loads {found[1]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=pathlib.Path, help="the folder that is written")
    parser.add_argument("--program", help="a built normproof, for the page of commands")
    arguments = parser.parse_args()
    problems = list(links.problems()) + [f"{page.relative_to(ROOT)}: other figures than its results: docs/site/figures.py"
                                         for page in sorted((ROOT / "docs").glob("**/*.md")) if figures.rendered(page) != page.read_text()]
    if not problems:
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder, "pages")
            source.mkdir()
            Site(source).write(help_of(arguments.program) if arguments.program else "")
            build(source, arguments.output.absolute())
        problems = list(loads_from_elsewhere(arguments.output))
    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(list(arguments.output.glob('**/*.html')))} pages in {arguments.output}")


if __name__ == "__main__":
    main()

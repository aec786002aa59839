#!/usr/bin/env python3
"""Every relative link of every page leads to a file or a folder, and every anchor to a heading. Needs no network: links to other
sites are not followed."""
import sys

import pages


def problems():
    texts = {page: (pages.ROOT / page).read_text() for page in pages.all_pages()}
    for page, text in texts.items():
        for target in pages.links(text):
            if pages.is_outside(target):
                continue
            path, _, anchor = target.partition("#")
            file = (pages.ROOT / page.parent / path).resolve() if path else pages.ROOT / page
            if not file.exists() or not file.is_relative_to(pages.ROOT):
                yield f"{page}: {target}: there is no {path}"
            elif anchor and file.suffix == ".md" and anchor not in pages.anchors(file.read_text()):
                yield f"{page}: {target}: {path or page} has no heading '{anchor}'"
    readme = len(texts[pages.pathlib.Path("README.md")].splitlines())
    if readme > 130:
        yield f"README.md has {readme} lines; at most 130 are read: the rest belongs on a page in docs/"


if __name__ == "__main__":
    found = list(problems())
    print("\n".join(found) or f"the links of {len(pages.all_pages())} pages lead somewhere")
    sys.exit(bool(found))

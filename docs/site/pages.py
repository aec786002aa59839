"""The pages of the repository: which there are, what they link to, and the anchors of their headings."""
import pathlib
import re
import subprocess
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Inline code holds no links, fenced code no headings.
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\]|!\[[^\]]*\]\([^)]*\))*\]\()([^)\s]+)(\))")


def all_pages():
    """Every Markdown page of the repository, by its path from the root."""
    tracked = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"], cwd=ROOT, capture_output=True,
                             text=True)
    if tracked.returncode == 0:
        return [pathlib.Path(name) for name in tracked.stdout.splitlines() if (ROOT / name).exists()]
    found = (page.relative_to(ROOT) for page in ROOT.glob("**/*.md"))  # not a clone
    return sorted(page for page in found if page.parts[0] not in ("build", ".git"))


def without_code(text):
    blank = lambda found: re.sub(r"[^\n]", " ", found[0])  # noqa: E731
    return _CODE.sub(blank, _FENCE.sub(blank, text))


def links(text):
    """Where the page links to, without what code shows."""
    return [found[2] for found in LINK.finditer(without_code(text))]


def anchors(text):
    """Those that GitHub and the site give to the headings."""
    found, counts = set(), {}
    for line in _FENCE.sub("", text).splitlines():
        heading = re.match(r"#{1,6} (.*)", line)
        if not heading:
            continue
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).replace("`", "")
        plain = unicodedata.normalize("NFKC", plain).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-")
        counts[slug] = counts.get(slug, -1) + 1
        found.add(slug if not counts[slug] else f"{slug}-{counts[slug]}")
    return found


def is_outside(target):
    return re.match(r"[a-z]+:", target) is not None

"""Every link inside the repository leads somewhere."""

import re
import subprocess
from pathlib import Path

LINK = re.compile(
    r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\""
)


def documents(root: Path) -> list[Path]:
    """Return every Markdown file that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    return [root / name for name in listed if (root / name).exists()]


def without_code(text: str) -> str:
    """Return the text without code blocks and code spans, in which brackets are no links."""
    return re.sub(r"`[^`\n]*`", "``", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        found.add(re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-"))
    return found


def test_links_lead_somewhere(root: Path) -> None:
    broken = []
    for document in documents(root):
        for groups in LINK.findall(without_code(document.read_text())):
            target = next(filter(None, groups))
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            destination = (document.parent / path).resolve() if path else document
            name = f"{document.relative_to(root)}: {target}"
            if not destination.exists():
                broken.append(name)
            elif anchor and anchor not in anchors(destination):
                broken.append(f"{name} (no such heading)")
    assert broken == []


def test_every_document_is_reachable_from_the_index(root: Path) -> None:
    index = (root / "docs/README.md").read_text()
    missing = [page.name for page in (root / "docs").glob("*.md") if f"({page.name})" not in index]
    assert [name for name in missing if name != "README.md"] == []
    decisions = (root / "docs/adr/README.md").read_text()
    records = [page.name for page in (root / "docs/adr").glob("[0-9]*.md")]
    assert [name for name in records if f"({name})" not in decisions] == []

"""Pages of docs/ as their readers meet them: blocks to run, headings to jump to, links to follow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    language: str
    text: str


class Page:
    """One Markdown file of the repository."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def prose(self) -> str:
        """The page without its blocks."""
        return _BLOCK.sub("", self.text)

    def blocks(self, *languages: str) -> list[Block]:
        """The blocks of these languages, in the order of the page."""
        found = [Block(language, text) for language, text in _BLOCK.findall(self.text)]
        return [block for block in found if block.language in languages]

    def headings(self) -> list[str]:
        return _HEADING.findall(self.prose)

    def anchors(self) -> set[str]:
        """What may stand behind the # of a link to this page."""
        return {_anchor(heading) for heading in self.headings()}

    def section(self, heading: str) -> str:
        """What stands under a heading of the second level, up to the next one."""
        found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", self.text, re.MULTILINE | re.DOTALL)
        assert found is not None, f"{self.path.name} has no section {heading!r}"
        return found[1]

    def links(self) -> list[str]:
        """Where the page leads to inside the repository."""
        return [link for link in _LINK.findall(self.prose) if not re.match(r"[a-z]+:", link)]

    def target(self, link: str) -> tuple[Path, str]:
        """The file that a link leads to, and what stands behind its #."""
        place, _, anchor = link.partition("#")
        return (self.path.parent / place if place else self.path).resolve(), anchor


def page(name: str) -> Page:
    """The page of this name in docs/."""
    return Page(DOCS / name)


def _anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")

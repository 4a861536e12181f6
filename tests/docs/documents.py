"""Reads the documentation: its files, their code blocks and their links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
READMES = [ROOT / "README.md", ROOT / "README.ja.md"]
DOCUMENTS = [*READMES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

_fences = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL).finditer
_links = re.compile(r"\]\(([^)\s]+)\)").findall


class Block(NamedTuple):
    """A fenced block. line: where it starts, for messages."""

    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks(document: Path, language: str | None = None) -> list[Block]:
    """The fenced blocks of a document, of one language or of all."""
    text = document.read_text(encoding="utf-8")
    found = [Block(document, text.count("\n", 0, match.start()) + 1, match[1], match[2]) for match in _fences(text)]
    return [block for block in found if language in (None, block.language)]


def all_blocks(language: str) -> list[Block]:
    """The blocks of one language in all documents."""
    return [block for document in DOCUMENTS for block in blocks(document, language)]


def commands(block: Block) -> list[str]:
    """The commands of a console block, each with the lines that continue it."""
    found: list[str] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(line[2:])
        elif line.startswith("> ") or line == ">":
            found[-1] += "\n" + line[2:]
    return found


def prose(document: Path) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(document: Path) -> list[str]:
    """Where a document's links go."""
    return [str(link) for link in _links(prose(document))]

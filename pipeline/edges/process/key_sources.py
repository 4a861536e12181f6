"""Reads a key from a file or from a program's output. Both are read again when the key is refused, so neither is kept anywhere."""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = 16_384  # bytes of a key: tokens of Entra have 2,000
COMMAND_SECONDS = 60.0


def key_in_file(path: str) -> str:
    """The key in a file. Raises ValueError that names the file and shows nothing of it."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(LONGEST + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    return _key(data, path)


def key_of_command(command: Sequence[str]) -> str:
    """The key that a program prints. No shell is involved. Raises ValueError that names the program and shows nothing it printed."""
    name = command[0]
    try:
        with TemporaryFile() as printed:  # no pipe: its end comes only when every child of the program has closed it too
            ended = subprocess.run(  # noqa: S603  the program is the user's own choice
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.DEVNULL,
                timeout=COMMAND_SECONDS,
                check=False,
            )
            printed.seek(0)
            data = printed.read(LONGEST + 1)
    except OSError as error:
        raise ValueError(f"{name} cannot be run: {error.strerror or error}") from None
    except subprocess.TimeoutExpired:
        raise ValueError(f"{name} did not end within {COMMAND_SECONDS:g} s") from None
    if ended.returncode:
        raise ValueError(f"{name} ended with code {ended.returncode}; run it by hand to see why")
    return _key(data, f"the output of {name}")


def _key(data: bytes, what: str) -> str:
    text = data.decode("utf-8", "replace").strip()
    if not text:
        raise ValueError(f"{what} is empty; it must be the key")
    if len(data) > LONGEST or not (text.isascii() and text.isprintable()):
        raise ValueError(f"{what} must be the key and nothing else, in printable ASCII on one line")
    return text

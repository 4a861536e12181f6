"""The commented starter config, which is also the reference of every setting: a test holds it to the schema."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UsageError

STARTER = Path(__file__).with_name("starter.yaml")


def write_starter(path: str) -> None:
    """Write the starter config to a file that is not there yet.

    Raises: UsageError, where it is there or cannot be written.
    """
    try:
        with Path(path).open("x", encoding="utf-8") as file:
            file.write(STARTER.read_text(encoding="utf-8"))
    except FileExistsError:
        raise UsageError(f"{path} exists and is not overwritten; name another file") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from None

"""Puts small files into storage that is no file system: S3, Google Cloud Storage, or whatever else has an address. Needs pyarrow.

A file is whole or not there, and may be replaced. Every call blocks, for as long as the network takes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_address = re.compile(r"[a-z][a-z0-9+.\-]+://").match


def is_address(text: str) -> bool:
    """Whether a text names such storage, and not a folder."""
    return _address(text) is not None


class ObjectStore:
    """The files below one address. Whatever it raises is OSError."""

    def __init__(self, files: Any, root: str) -> None:
        self._files = files
        self._root = root.rstrip("/")

    @classmethod
    def open(cls, address: str) -> ObjectStore:
        """Open it; nothing is asked of it yet. Credentials come from where its own tools find them. Raises UsageError."""
        try:
            import pyarrow as pa  # noqa: PLC0415  200 ms, and few runs have it
            from pyarrow import fs  # noqa: PLC0415
        except ImportError:
            raise UsageError(f"{address}: it needs a package that is not installed: pip install 'headrace[arrow]'") from None
        try:
            return cls(*fs.FileSystem.from_uri(address))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UsageError(f"{address}: {error}") from error

    def below(self, folder: str) -> ObjectStore:
        """The files in a folder of it."""
        return ObjectStore(self._files, f"{self._root}/{folder}")

    def put(self, name: str, data: bytes) -> None:
        """Write a file, in place of one that is there."""
        path = f"{self._root}/{name}"
        if self._files.type_name == "local":  # elsewhere there are no folders
            self._files.create_dir(path.rpartition("/")[0], recursive=True)
            new = f"{path}.new"
            with self._files.open_output_stream(new) as stream:
                stream.write(data)
            self._files.move(new, path)
            return
        with self._files.open_output_stream(path) as stream:
            stream.write(data)

    def get(self, name: str) -> bytes | None:
        """What is in a file; None if there is none."""
        try:
            with self._files.open_input_stream(f"{self._root}/{name}") as stream:
                data: bytes = stream.read()
                return data
        except FileNotFoundError:
            return None

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        try:
            self._files.delete_file(f"{self._root}/{name}")
        except FileNotFoundError:
            pass

    def names(self, folder: str) -> Iterator[str]:
        """The files in a folder, as `get` takes them."""
        from pyarrow import fs  # noqa: PLC0415

        found = self._files.get_file_info(fs.FileSelector(f"{self._root}/{folder}", allow_not_found=True))
        return (f"{folder}/{info.base_name}" for info in found if info.is_file)

"""Opens files within one folder, and never anything outside of it, whatever a path says.

A path comes from a row, and so from anybody. It is walked step by step, each step relative to the open folder before it: `..` goes back to
the folder that was open before and never above the first, a link is followed by walking its own text in the same way, and an absolute
path or link is refused. Nothing can be exchanged for something outside between a check and its use, because each step is opened without
following links, and only what was opened is read. Only regular files are read; a pipe or a device is not even opened.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack

from pipeline.core.rows.attached import HEAD_BYTES, KNOWN_TYPES, media_type
from pipeline.errors import InputError
from pipeline.records import FileFound

MAX_STEPS = 256  # of a path together with the links on the way
MAX_LINKS = 40  # as Linux has it
STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class FileProblemError(Exception):
    """A file that cannot be sent, in words that follow the name of the field; nothing of its content is in them."""


class Folder:
    """The folder that the config names. Close it. max_bytes: a larger file is not read.

    Raises InputError if the folder cannot be opened.
    """

    def __init__(self, root: str, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        try:
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(f"{root}: {error.strerror or error} (request.files.root)") from error

    def look(self, path: str) -> FileFound:
        """What there is at a path, if it may be sent. Blocks. Raises FileProblemError."""
        descriptor, status = self._open(path)
        try:
            mime = media_type(os.read(descriptor, HEAD_BYTES))
        except OSError as error:
            raise FileProblemError(f"names a file that cannot be read ({error.strerror or error}): {path!r:.200}") from None
        finally:
            os.close(descriptor)
        if mime is None:
            raise FileProblemError(f"names a file that is not of a known type ({KNOWN_TYPES}): {path!r:.200}")
        return FileFound(path, status.st_size, status.st_mtime_ns, mime)

    def read(self, file: FileFound) -> bytes:
        """The content of a file that was found before. Blocks. Raises FileProblemError, also if it is another one by now."""
        descriptor, status = self._open(file.path)
        with open(descriptor, "rb", buffering=0) as opened:  # noqa: PTH123  a descriptor has no path
            if (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns):
                raise FileProblemError(f"names a file that has changed since the row was read: {file.path!r:.200}")
            try:
                content = opened.read(file.size + 1)
                while content and len(content) <= file.size and (more := opened.read(file.size + 1 - len(content))):
                    content += more
                after = os.fstat(descriptor)
            except OSError as error:
                raise FileProblemError(f"names a file that cannot be read ({error.strerror or error}): {file.path!r:.200}") from None
        if not content or len(content) != file.size or after.st_mtime_ns != file.mtime_ns or media_type(content[:HEAD_BYTES]) != file.mime:
            raise FileProblemError(f"names a file that changed while it was read: {file.path!r:.200}")
        return content

    def close(self) -> None:
        """Close the folder. Calling it again does no harm."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def _open(self, path: str) -> tuple[int, os.stat_result]:
        """An open regular file that is not too large."""
        try:
            with ExitStack() as opened:
                descriptor = self._walk(path, opened)
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    os.close(descriptor)
                    raise FileProblemError(f"names something that is no regular file: {path!r:.200}")
        except (OSError, ValueError) as error:
            raise FileProblemError(f"names a file that cannot be opened ({_said(error)}): {path!r:.200}") from None
        if status.st_size > self._max_bytes:
            os.close(descriptor)
            told = f"{status.st_size:,} bytes, more than request.files.max_bytes ({self._max_bytes:,})"
            raise FileProblemError(f"names a file of {told}: {path!r:.200}")
        return descriptor, status

    def _walk(self, path: str, opened: ExitStack) -> int:
        """Open what a path leads to. The folders on the way are closed with `opened`."""
        folders = [self._root]
        steps = _steps(path)
        links = done = 0
        while steps:
            done += 1
            step = steps.pop()
            if done > MAX_STEPS:
                raise OSError(errno.ENAMETOOLONG, "the path is too long")
            if step == "..":
                if len(folders) == 1:
                    raise FileProblemError(f"leads out of request.files.root: {path!r:.200}")
                folders.pop()  # it stays open until the end, which is soon
                continue
            mode = os.stat(step, dir_fd=folders[-1], follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                links += 1
                if links > MAX_LINKS:
                    raise OSError(errno.ELOOP, "too many links")
                steps += _steps(os.readlink(step, dir_fd=folders[-1]), path)
            elif stat.S_ISDIR(mode):
                folders.append(os.open(step, STEP, dir_fd=folders[-1]))
                opened.callback(os.close, folders[-1])
            elif stat.S_ISREG(mode) and not steps:
                return os.open(step, FILE, dir_fd=folders[-1])
            else:
                raise FileProblemError(f"names something that is no regular file: {path!r:.200}")
        raise FileProblemError(f"names a folder: {path!r:.200}")


def _steps(path: str, shown: str | None = None) -> list[str]:
    """The steps of a path, the last first. shown: the path that led here, for the message."""
    if path.startswith("/"):
        raise FileProblemError(f"leads out of request.files.root: {shown or path!r:.200}")
    return [step for step in reversed(path.split("/")) if step not in ("", ".")]


def _said(error: OSError | ValueError) -> str:
    told = getattr(error, "strerror", None)
    return told or "it is no name of a file"

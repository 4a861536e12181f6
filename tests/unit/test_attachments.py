"""Which files a request may carry: what lies beneath the root and is of a type that is sent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.core.rows.attached import media_type
from pipeline.edges.attachments.folder import FileProblemError, Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
SECRET = b"%PDF-1.7 the secret of somebody else"  # of a type that would be sent, if it could be reached
KINDS = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0" + bytes(20),
    "image/gif": b"GIF89a" + bytes(20),
    "image/webp": b"RIFF\x10\n\x00\x00WEBPVP8 ",
    "application/pdf": b"%PDF-1.4\n",
    "audio/wav": b"RIFF\n\x00\x00\x00WAVEfmt ",
    "audio/mpeg": b"\xff\xfb\x90\x64" + bytes(20),
}
OTHERS = [
    b"",
    b"\x89PNG",
    b"root:x:0:0:root:/root:/bin/bash\n",
    b"KEY=sk-1",
    b"ID3 of nothing",
    b"\xff\xfeU\x00T\x00F\x00",
    b"<svg>",
    b"%PDF-x",
    b"RIFF1234AVI ",
]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    (tmp_path / "images" / "cats").mkdir(parents=True)
    (tmp_path / "images" / "cats" / "a.png").write_bytes(PNG)
    (tmp_path / "secret.pdf").write_bytes(SECRET)
    opened = Folder(str(tmp_path / "images"), 1000)
    yield opened
    opened.close()


@pytest.mark.parametrize("mime", KINDS)
def test_a_type_is_told_by_the_first_bytes(mime: str) -> None:
    assert media_type(KINDS[mime][:16]) == mime


@pytest.mark.parametrize("head", OTHERS)
def test_what_is_of_no_known_type_has_none(head: bytes) -> None:
    assert media_type(head[:16]) is None


@pytest.mark.parametrize("path", ["cats/a.png", "./cats//a.png", "cats/../cats/a.png", "cats/a.png/"])
def test_a_file_beneath_the_root_is_found_and_read(folder: Folder, path: str) -> None:
    found = folder.look(path)

    assert (found.path, found.size, found.mime) == (path, len(PNG), "image/png")
    assert folder.read(found) == PNG


def test_a_link_that_stays_beneath_the_root_is_followed(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "images" / "dogs").symlink_to("cats")
    (tmp_path / "images" / "cats" / "b.png").symlink_to("../dogs/a.png")

    assert folder.read(folder.look("dogs/b.png")) == PNG


def outside(make: Callable[[Path], str]) -> Any:
    return pytest.param(make, id=make.__name__.strip("_"))


def dots(_: Path) -> str:
    return "../secret.pdf"


def dots_and_back(_: Path) -> str:
    return "../images/cats/a.png"


def deep_dots(_: Path) -> str:
    return "cats/../../secret.pdf"


def absolute(root: Path) -> str:
    return str(root / "secret.pdf")


def absolute_within(root: Path) -> str:
    return str(root / "images" / "cats" / "a.png")


def system_file(_: Path) -> str:
    return "/etc/passwd"


def link_out(root: Path) -> str:
    (root / "images" / "x.pdf").symlink_to("../secret.pdf")
    return "x.pdf"


def link_out_of_a_folder(root: Path) -> str:
    (root / "images" / "up").symlink_to("..")
    return "up/secret.pdf"


def absolute_link(root: Path) -> str:
    (root / "images" / "x.pdf").symlink_to(root / "secret.pdf")
    return "x.pdf"


def link_to_a_link(root: Path) -> str:
    (root / "images" / "cats" / "y").symlink_to("../../secret.pdf")
    (root / "images" / "x.pdf").symlink_to("cats/y")
    return "x.pdf"


def by_proc(_: Path) -> str:
    return "../../../../../../../proc/self/environ"


@pytest.mark.parametrize(
    "make",
    list(
        map(
            outside,
            [
                dots, dots_and_back, deep_dots, absolute, absolute_within, system_file, link_out, link_out_of_a_folder, absolute_link,
                link_to_a_link, by_proc,
            ],
        )
    ),
)  # fmt: skip
def test_nothing_outside_of_the_root_is_reached(folder: Folder, tmp_path: Path, make: Callable[[Path], str]) -> None:
    with pytest.raises(FileProblemError, match=r"leads out of request\.files\.root"):
        folder.look(make(tmp_path))


@pytest.mark.parametrize(
    "path", ["", ".", "cats", "cats/..", "nothing.png", "cats/a.png/b.png", "a\0b", "\ud800", "x" * 5000, "/".join(["cats/.."] * 200)]
)
def test_what_is_no_file_is_told(folder: Folder, path: str) -> None:
    with pytest.raises(FileProblemError, match=r"^names a f|^names something"):
        folder.look(path)


@pytest.mark.parametrize("path", ["x.pdf", "up/secret.pdf"])
def test_a_link_that_is_put_there_while_the_path_is_walked_is_not_followed(
    folder: Folder, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images" / "x.pdf").symlink_to("../secret.pdf")
    (tmp_path / "images" / "up").symlink_to("..")
    look = os.stat
    monkeypatch.setattr(os, "stat", lambda name, *, dir_fd, follow_symlinks: look(name, dir_fd=dir_fd, follow_symlinks=not follow_symlinks))

    with pytest.raises(FileProblemError, match="cannot be opened"):
        folder.look(path)


def test_a_circle_of_links_ends(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "images" / "a").symlink_to("b")
    (tmp_path / "images" / "b").symlink_to("a")

    with pytest.raises(FileProblemError, match="too many links"):
        folder.look("a")


def test_a_pipe_and_a_socket_are_not_opened(folder: Folder, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "images" / "pipe.png")  # opening it would wait for a writer

    with pytest.raises(FileProblemError, match="no regular file"):
        folder.look("pipe.png")


def test_a_file_that_is_too_large_or_of_no_type_is_told_without_a_byte_of_it(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "images" / "large.png").write_bytes(PNG * 10)
    (tmp_path / "images" / "env.png").write_bytes(b"KEY=sk-very-secret")

    with pytest.raises(FileProblemError, match=r"2,640 bytes, more than request\.files\.max_bytes \(1,000\)"):
        folder.look("large.png")
    with pytest.raises(FileProblemError, match="not of a known type") as told:
        folder.look("env.png")
    assert "sk-very" not in str(told.value)


def test_a_file_that_is_exchanged_after_it_was_seen_is_not_sent(folder: Folder, tmp_path: Path) -> None:
    place = tmp_path / "images" / "cats" / "a.png"
    found = folder.look("cats/a.png")

    place.write_bytes(PNG + b"x")
    with pytest.raises(FileProblemError, match="has changed since the row was read"):
        folder.read(found)
    place.unlink()
    place.symlink_to("../../secret.pdf")
    with pytest.raises(FileProblemError, match="leads out of"):
        folder.read(found)


def test_no_descriptor_is_left_open(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "images" / "env.png").write_bytes(b"no")
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208  a generator would hold one itself

    for path in ["cats/a.png", "env.png", "cats/../cats/../../x", "nothing"] * 5:
        try:
            folder.read(folder.look(path))
        except FileProblemError:
            pass

    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208

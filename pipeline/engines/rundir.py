"""The run directory: what several processes have in common that do one run.

    manifest.json            what must be the same as long as the run lasts: the config's identity and the plan
    lock                     locked by the process that directs the run
    part-00017.jsonl         the results of shard 17, in the order of its rows
    part-00017.jsonl.done    there once the part is whole: rows, bytes, digest and counts
    part-00017.jsonl.lock    locked by the process that works on the shard
    part-00017.jsonl.journal the shard's journal and the files beside it, unless they lie in a scratch folder
    part-00017.jsonl.retry   which of its failed rows are to be sent again, until that was begun
    part-00017.rows          a copy of the shard's rows, where the input cannot be read from the middle
    part-00017.repeats       which of its rows use the id of an earlier row
    permits.json             the permits of the limits and their ages, as the process that directs the run last saved them
    going.json               what holds the run back, and how fast it goes, for `status`; written again every two seconds

A file that others read is written under another name, put on the disk and renamed, so it is whole or not there.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from attrs import frozen
from msgspec import Struct, field

from pipeline.core.bookkeeping.going import Going  # noqa: TC001  msgspec reads the annotations
from pipeline.core.cluster.plan import Plan  # noqa: TC001  likewise
from pipeline.durability.paths import MANIFEST, RUN_SUFFIX
from pipeline.edges.store.files import MODE, BusyError, free_name, real
from pipeline.edges.store.marks import is_locked
from pipeline.edges.store.objects import is_address
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.config import Config

LOCK = "lock"
VERSION = 1  # of what is in a run directory


class Done(Struct, frozen=True):
    """What is known of a part that is whole. unknown: attempts that got no answer. ended_at: seconds since the epoch.

    seconds, limited_by: of the process that ended it, as in `Summary`.
    """

    number: int
    rows: int
    bytes: int
    digest: str
    succeeded: int
    failed: int
    unknown: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    finish_reasons: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    ended_at: float = 0.0
    seconds: float = 0.0
    limited_by: dict[str, float] = field(default_factory=dict)


class SavedGoing(Struct, frozen=True):
    """How a run goes on. at: seconds since the epoch."""

    at: float
    going: Going


class Manifest(Struct, frozen=True):
    """What a run directory is for. identity: of the config, see `identity_of`. collected: digest of the output made of the parts."""

    version: int
    identity: dict[str, str]
    plan: Plan
    collected: str = ""


@frozen
class RunDirectory:
    """A run directory by its path. remote: the address of storage where results are copied to, if the workers share no folder."""

    path: Path
    remote: str | None = None

    @classmethod
    def of(cls, config: Config) -> RunDirectory:
        """The run directory of a config."""
        given = config.engine.ray.run_dir
        output = real(config.sink.path)
        beside = output.with_name(output.name + RUN_SUFFIX)
        if given is not None and is_address(given):
            return cls(beside, given)
        return cls(beside if given is None else Path(given))

    @property
    def exists(self) -> bool:
        """Whether there is a run in it."""
        return self.manifest_path.exists()

    @property
    def manifest_path(self) -> Path:
        """What was planned."""
        return self.path / MANIFEST

    def make(self) -> None:
        """Make the folder. Raises UsageError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            told = "there is a file of this name" if isinstance(error, FileExistsError) else error.strerror or error
            raise UsageError(f"{self.path}: the run directory cannot be created: {told}; name another engine.ray.run_dir") from error

    def withdraw(self) -> None:
        """Remove it, if nothing was planned in it. Call this with the lock."""
        if not self.exists:
            with suppress(OSError):  # somebody uses it for something else
                for path in self.path.glob("part-*"):
                    path.unlink()
                (self.path / LOCK).unlink(missing_ok=True)
                self.path.rmdir()

    def forget_plan(self) -> None:
        """Remove a plan, and what was made for it, if no part of it was begun. Call this with the lock."""
        if not any(self.path.glob("part-*.jsonl*")):
            self.manifest_path.unlink(missing_ok=True)
            self.withdraw()

    def move_aside(self) -> Path:
        """Give it another name, which is free; that name. Raises UsageError."""
        aside = free_name(self.path)
        try:
            self.path.rename(aside)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be moved aside: {error.strerror or error}") from error
        return aside

    def manifest(self) -> Manifest:
        """What was planned. Raises UsageError."""
        path = self.manifest_path
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        except (OSError, msgspec.DecodeError) as error:
            raise UsageError(f"{path} cannot be read: {error}; --fresh starts over (what is there is moved aside)") from error
        if manifest.version != VERSION:
            raise UsageError(f"{path} was written by another version of headrace; go on with that one, or start over with --fresh")
        return manifest

    def plan_run(self, manifest: Manifest) -> None:
        """Write down what is planned: from now on the run goes on by it. Raises OSError."""
        self.write(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))

    def part(self, number: int) -> Path:
        """The results of a shard."""
        return self.path / f"part-{number:05d}.jsonl"

    def repeats(self, number: int) -> Path:
        """Which rows of a shard use the id of an earlier row, if any does."""
        return self.path / f"part-{number:05d}.repeats"

    def journal(self, number: int) -> Path:
        """The journal of a shard, unless it lies in a scratch folder."""
        return self.path / f"part-{number:05d}.jsonl.journal"

    def done(self, number: int) -> Done | None:
        """What is known of a part, once it is whole; None before."""
        with suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self.part(number).with_suffix(".jsonl.done").read_bytes(), type=Done)
        return None

    def list_done(self, done: Done) -> None:
        """Say that a part is whole. It must be on the disk. Raises OSError."""
        self.write(self.part(done.number).name + ".done", msgspec.json.encode(done))

    def unlist(self, number: int) -> None:
        """Say that a part is not whole any more, because rows of it are sent again. Raises OSError."""
        self.part(number).with_suffix(".jsonl.done").unlink(missing_ok=True)

    def want_retry(self, number: int, choice: str | None) -> None:
        """Note that failed rows of a part are to be sent again, by `FailureChoice`; None: that was begun. Raises OSError."""
        name = self.part(number).name + ".retry"
        if choice is None:
            (self.path / name).unlink(missing_ok=True)
        else:
            self.write(name, choice.encode())

    def retry_wanted(self, number: int) -> str | None:
        """Which failed rows of a part are to be sent again; None for none."""
        with suppress(OSError):
            return self.part(number).with_suffix(".jsonl.retry").read_text()
        return None

    def save_permits(self, permits: bytes) -> None:
        """Save the state of the permits. Raises OSError."""
        self.write("permits.json", permits, sync=False)  # a machine that goes down takes longer to start than a period lasts

    def saved_permits(self) -> bytes | None:
        """The state of the permits as it was last saved; None if it never was."""
        with suppress(OSError):
            return (self.path / "permits.json").read_bytes()
        return None

    def save_going(self, going: Going, now: float) -> None:
        """Save how the run goes on. now: seconds since the epoch. Raises OSError."""
        self.write("going.json", msgspec.json.encode(SavedGoing(now, going)), sync=False)

    def saved_going(self) -> SavedGoing | None:
        """How the run went on when that was saved last; None if it never was."""
        with suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode((self.path / "going.json").read_bytes(), type=SavedGoing)
        return None

    @property
    def is_locked(self) -> bool:
        """Whether a process directs the run now."""
        return is_locked(self.path / LOCK)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Direct the run; nobody else does meanwhile. Raises BusyError, UsageError."""
        with _locked(self.path / LOCK, f"{self.path} is in use by another run; wait until it has ended"):
            yield

    @contextmanager
    def shard_locked(self, number: int) -> Iterator[None]:
        """Work on a shard; nobody else does meanwhile. Raises BusyError, UsageError."""
        part = self.part(number)
        with _locked(part.with_suffix(".jsonl.lock"), f"{part} is being written by another process"):
            yield

    def write(self, name: str, data: bytes, *, sync: bool = True) -> None:
        """Write a file that is whole or not there. Raises OSError."""
        path = self.path / name
        new = path.with_name(f"{name}.{os.getpid()}.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123  it is a descriptor
                file.write(data)
                file.flush()
                if sync:
                    os.fsync(descriptor)
            new.replace(path)
        except OSError:
            new.unlink(missing_ok=True)
            raise


def results_path(config: Config) -> str:
    """Where people find the results of a run: in the output, or in the run directory until they are collected."""
    directory = RunDirectory.of(config)
    return str(directory.path) if directory.exists and not os.path.lexists(config.sink.path) else config.sink.path


@contextmanager
def _locked(path: Path, problem: str) -> Iterator[None]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
    except OSError as error:
        raise UsageError(f"{path} cannot be opened: {error.strerror or error}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(problem) from None
        except OSError as error:  # without locks two processes could write the same part
            raise UsageError(f"{path} cannot be locked: {error.strerror or error}; name another engine.ray.run_dir") from error
        yield
    finally:
        os.close(descriptor)

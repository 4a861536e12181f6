"""Turns a config file and the overrides of the command line into a `Config`, or reports everything that is wrong with it.

The only module here that reads a file. A relative path in a config, or in an override, is relative to the config file's folder.
"""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.build import build
from pipeline.config.environment import problems_in
from pipeline.config.nodes import Node, parse
from pipeline.config.schema import Config
from pipeline.errors import ConfigError, Problem
from pipeline.patterns import later

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.simulate.config import SimulateConfig

MAX_BYTES = 1_000_000  # a config is written by hand; a larger file is somebody's input
ROWS = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".feather")  # no config ends so; JSON may be one, as it is YAML
LIKE_A_KEY = later(r"[a-z_.]*")
ADDRESS = later(r"[a-z][a-z0-9+.\-]+://")  # of storage that is no folder; see engine.ray.run_dir
LANE_PATHS = (("unix_socket",), ("api_key_file",), ("tls", "ca"), ("tls", "certificate"), ("tls", "key"))
PATHS = (
    ("source", "path"),
    ("sink", "path"),
    ("journal", "path"),
    ("cache", "path"),
    ("metrics", "log"),
    ("answers", "expect", "schema"),
    ("request", "files", "root"),
    ("serve", "data"),
    ("engine", "ray", "run_dir"),
    *(("provider", *steps) for steps in LANE_PATHS),
)

SERVE_DATA = "headrace-data"  # beside the config
CHECK = ("answers", "expect", "check")  # a file's path and a function's name


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] = (), *, environment: Mapping[str, str] | None = None) -> Config:
    """The config in a YAML file.

    overrides: `KEY=VALUE`, dotted key and YAML value; each wins over the file and over those before it. environment: where
    the variables that the config names must be set; None leaves that to the code that sends.
    Raises: ConfigError, with every problem at once.
    """
    file = Path(path)
    config = load_config_text(_read(file), str(file), overrides, folder=file.absolute().parent, environment=environment)
    itself = os.path.realpath(file)
    written = {"sink.path": config.sink.path, "journal.path": config.journal.path or f"{config.sink.path}.journal"}
    written |= {} if config.cache is None else {"cache.path": config.cache.path}
    problems = [
        Problem(key, "is this config, which would be overwritten", str(file))
        for key, each in written.items()
        if os.path.realpath(each) == itself
    ]
    if problems:
        raise ConfigError(problems)
    return config


def given_config(config: Config | str | os.PathLike[str]) -> Config:
    """The config that a caller gave, or the one in the file that it named.

    Raises: ConfigError, as `load_config`; TypeError for anything else.
    """
    if isinstance(config, Config):
        return config
    if isinstance(config, (str, os.PathLike)):
        return load_config(config)
    what = "list" if isinstance(config, (list, tuple)) else type(config).__name__
    hint = "; the rows are the other argument" if what == "list" else ""
    raise TypeError(f"config must be a pipeline.Config or the path of a YAML file, got a {what}{hint}")


def load_config_text(
    text: str,
    name: str,
    overrides: Sequence[str] = (),
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """The config in a text.

    name: what messages call it. folder: what relative paths are relative to; None is the working directory. overrides,
    environment: as for `load_config`.

    Raises: ConfigError, with every problem at once.
    """
    problems: list[Problem] = []
    given = parse(text, name, problems)
    root = _beside_if_rehearsed(given, overridden(given, overrides, problems))
    if environment is not None:
        problems.extend(problems_in(root, environment))
    return build(_absolute(root, folder or Path.cwd()), Config, problems)


def load_serve(
    path: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    data: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """The config of a server, which needs no source and no sink: those that it has are not used, and nor is its request.

    `retry.stop_after` is null where the config does not say it. data: the data folder, in place of the config's; relative to the
    working directory. Results leave the flow as they come, and each batch puts its own in order.
    Raises: ConfigError, with every problem at once.
    """
    file = Path(path)
    problems: list[Problem] = []
    root = overridden(parse(_read(file), str(file), problems), overrides, problems)
    if data is not None:
        root = _put(root, ["serve", "data"], Node(str(Path(data).absolute()), "--data", None))
    elif _leaf(root, ("serve", "data")) is None:
        root = _put(root, ["serve", "data"], Node(SERVE_DATA, str(file), None))
    if _leaf(root, ("retry", "stop_after")) is None:  # rows that all get the same answer are their batch's fault, and not the server's
        root = _put(root, ["retry", "stop_after"], Node(None, str(file), None))
    if environment is not None:
        problems.extend(problems_in(root, environment))
    ours = {
        "source": {"path": "input.jsonl"},
        "sink": {"path": "results.jsonl", "order": "completion"},
    }
    for section, entries in ours.items():
        root = _put(root, [section], Node({key: Node(value, section, None) for key, value in entries.items()}, section, None))
    if _leaf(root, ("journal", "path")) is not None:
        root = _put(root, ["journal", "path"], Node(None, str(file), None))
    return build(_absolute(_put(root, ["request"], Node(None, "request", None)), file.absolute().parent), Config, problems)


def load_simulate(overrides: Sequence[str], path: str | os.PathLike[str] | None = None) -> SimulateConfig:
    """A simulated provider from a YAML file and `KEY=VALUE`.

    path: a file whose keys are those below `provider.simulate`, or a run's config, of which that section is taken; None means no file.
    Raises: ConfigError, with every problem at once.
    """
    from pipeline.simulate.config import SimulateConfig  # noqa: PLC0415  only who simulates pays for the import

    problems: list[Problem] = []
    root = Node(None, "command line", None)
    if path is not None:
        root = parse(_read(Path(path)), str(path), problems)
        if (provider := root.child("provider")) is not None:
            root = provider.child("simulate") or Node(None, str(path), provider.line)
    return build(overridden(root, overrides, problems), SimulateConfig, problems)


def overridden(root: Node, overrides: Sequence[str], problems: list[Problem]) -> Node:
    """The tree with every `KEY=VALUE` in its place. problems: takes what is wrong with them."""
    for override in overrides:
        key, equals, text = override.partition("=")
        key = key.strip()
        source = f"--set {key}" if equals or LIKE_A_KEY.fullmatch(key) else "--set"  # what is not a key may be a secret
        if not equals or not all(key.split(".")):
            problems.append(Problem("", "must be KEY=VALUE with a dotted key, such as --set limits.max_in_flight=10", source))
            continue
        # "-" is stdin; YAML would take it for a list of one null.
        value = Node("-", source, None) if text.strip() == "-" else parse(text, source, problems, key=key, numbered=False)
        try:
            root = _put(root, key.split("."), value)
        except ConfigError as error:
            problems.extend(error.problems)
    return root


def _put(node: Node, steps: list[str], value: Node) -> Node:
    if not steps:
        return value
    entries = {} if node.value is None else node.value
    if not isinstance(entries, dict):
        raise ConfigError([Problem("", "cannot be set: a key on the way to it holds no mapping", value.source)])
    below = entries.get(steps[0], Node(None, value.source, None))
    return Node({**entries, steps[0]: _put(below, steps[1:], value)}, node.source, node.line, node.broken)


def _beside_if_rehearsed(given: Node, root: Node) -> Node:
    """The tree of a rehearsal: its results go beside those of the real run, unless a sink is named for it.

    A rehearsal has the embedded provider put in the place of another one on the command line.
    """
    simulate = _leaf(root, ("provider", "simulate"))
    if simulate is None or simulate.value is None or _leaf(given, ("provider", "simulate")) is not None:
        return root
    address = _leaf(root, ("provider", "base_url"))
    if address is not None and address.line is not None:
        root = _put(root, ["provider", "base_url"], Node(None, simulate.source, None))
    sink = _leaf(root, ("sink", "path"))
    if sink is None or sink.line is None or not isinstance(sink.value, str):
        return root
    stem, ending = os.path.splitext(sink.value)  # noqa: PTH122  paths are text here
    root = _put(root, ["sink", "path"], Node(f"{stem}.rehearsal{ending}", sink.source, sink.line))
    journal = _leaf(root, ("journal", "path"))
    if journal is not None and journal.line is not None:
        root = _put(root, ["journal", "path"], Node(None, journal.source, journal.line))
    return root


def _absolute(root: Node, folder: Path) -> Node:
    """The tree with every path of the config made absolute; `~` is the home folder."""
    root = _absolute_at(root, PATHS, folder)
    several = root.child("providers")
    if several is not None and isinstance(several.value, list):
        lanes = [_absolute_at(lane, LANE_PATHS, folder) for lane in several.value]
        root = _put(root, ["providers"], Node(lanes, several.source, several.line, several.broken))
    check = _leaf(root, CHECK)
    if check is not None and isinstance(check.value, str):
        from pipeline.config.expectations import beside  # noqa: PLC0415  few runs expect anything

        root = _put(root, list(CHECK), Node(beside(check.value, folder), check.source, check.line))
    return root


def _absolute_at(root: Node, paths: Iterable[Sequence[str]], folder: Path) -> Node:
    for steps in paths:
        leaf = _leaf(root, steps)
        if leaf is None:
            continue
        if isinstance(leaf.value, list):
            made = [_absolute_path(each, folder) for each in leaf.value]
            root = _put(root, list(steps), Node(made, leaf.source, leaf.line, leaf.broken))
        else:
            root = _put(root, list(steps), _absolute_path(leaf, folder))
    return root


def _absolute_path(leaf: Node, folder: Path) -> Node:
    if not isinstance(leaf.value, str) or leaf.value.strip() in {"", "-"} or "\0" in leaf.value:
        return leaf
    if "://" in leaf.value and ADDRESS.match(leaf.value):
        return leaf
    path = os.path.normpath(folder / os.path.expanduser(leaf.value))  # noqa: PTH111  Path.expanduser raises where there is no home
    return Node(path + os.sep if leaf.value.endswith(os.sep) and path != os.sep else path, leaf.source, leaf.line)  # still a folder's


def _leaf(root: Node, steps: Sequence[str]) -> Node | None:
    """The node at a path of keys, None where there is none."""
    leaf: Node | None = root
    for step in steps:
        leaf = leaf.value.get(step) if leaf is not None and isinstance(leaf.value, dict) else None
    return leaf


def _read(file: Path) -> str:
    if file.name.lower().removesuffix(".gz").removesuffix(".zst").endswith(ROWS):
        ways = f"headrace init --input {file} writes a config for it, and headrace run-batch -i {file} runs it without one"
        raise ConfigError([Problem("", f"is a file of rows, not a config: {ways}", str(file))])
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        said += "; headrace init writes a config" if isinstance(error, FileNotFoundError) else ""
        raise ConfigError([Problem("", f"cannot be read: {said}", str(file))]) from None
    if len(data) > MAX_BYTES:
        raise ConfigError([Problem("", f"is larger than {MAX_BYTES} bytes; is it a config?", str(file))])
    data = data.removeprefix(BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem("", f"not UTF-8: byte 0x{data[error.start]:02x}", str(file), line)]) from None

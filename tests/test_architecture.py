"""Checks the dependency direction by reading every import, those for type checkers included.

{version, heads, homes, light, patterns, values} ← apart ← {records, summaries, errors, messages, events} ← core ← ports ← simulate ← config
← edges ← {stages, durability} ← runs ← engines ← {inspect, serve} ← cli ← library ← aio
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pipeline"

# From the bottom to the top. A part may import what stands on a lower line, and nothing else; two parts on one line do not know each other.
LEVELS = [
    {"version", "heads", "homes", "light", "patterns", "values", "apart_worker"},
    {"apart"},
    {"records", "summaries"},
    {"messages", "errors"},
    {"events"},
    {"core"},
    {"ports"},
    {"simulate"},
    {"config"},
    {"edges"},
    {"stages", "durability"},
    {"runs"},
    {"engines"},
    {"inspect", "serve"},
    {"cli"},
    {"library"},
    {"aio", "testing"},
]
LEVEL_OF = {part: level for level, parts in enumerate(LEVELS) for part in parts}
TOP = {"", "__main__"}  # the package itself and its command may import everything

# The core decides; it neither waits nor looks, and nothing it does depends on when it is done.
FORBIDDEN_IN_CORE = {
    "asyncio", "concurrent", "httpx", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "select",
    "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "trio", "uuid",
}  # fmt: skip
CLOCKS = {"now", "utcnow", "today"}


def module_name(path: Path, package: Path = PACKAGE) -> str:
    """Dotted, as Python imports it: a package's `__init__` has the package's name."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported_by(source: str, modules: set[str]) -> set[str]:
    """The modules and names that a source imports, anywhere in it; `from a import b` is `a.b` where that is a module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else node.module for name in whole}
    return found


IMPORTS = {name: imported_by(path.read_text(), set(MODULES)) for name, path in MODULES.items()}


def part_of(module: str) -> str:
    return (module.split(".") + [""])[1]


def upward(module: str, imported: set[str]) -> list[str]:
    """What a module imports that does not stand below it."""
    part = part_of(module)
    return sorted(
        other
        for other in imported
        if other.split(".")[0] == "pipeline" and part_of(other) != part and LEVEL_OF.get(part_of(other), len(LEVELS)) >= LEVEL_OF[part]
    )


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Every shortest way on which a module imports itself."""
    found = []
    for start in imports:
        ways = [[start]]
        seen: set[str] = set()
        while ways:
            way = ways.pop(0)
            for other in sorted(imports.get(way[-1], set()) & imports.keys()):
                if other == start and len(way) > 1:
                    found.append([*way, start])
                    ways.clear()
                    break
                if other not in seen:
                    seen.add(other)
                    ways.append([*way, other])
    return found


def test_there_are_modules_to_check() -> None:
    assert len(MODULES) > 100
    assert {"pipeline", "pipeline.records", "pipeline.core.rows.jobs", "pipeline.cli.commands"} <= MODULES.keys()
    assert any("pipeline.config.schema" in imported for imported in IMPORTS.values())


def test_every_part_has_its_level() -> None:
    assert {part_of(module) for module in MODULES} - TOP <= LEVEL_OF.keys(), "give a new part its place in LEVELS"


@pytest.mark.parametrize("module", [module for module in MODULES if part_of(module) not in TOP])
def test_module_imports_only_what_is_below_it(module: str) -> None:
    assert upward(module, IMPORTS[module]) == []


def test_an_upward_import_is_found_even_for_types() -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pipeline.stages.flow import run_flow\n"

    assert upward("pipeline.core.rows.jobs", imported_by(source, set(MODULES))) == ["pipeline.stages.flow"]
    assert upward("pipeline.durability.store", imported_by(source, set(MODULES))) == ["pipeline.stages.flow"]


@pytest.mark.parametrize("module", [module for module in MODULES if part_of(module) == "edges"])
def test_no_wing_of_the_edges_imports_another(module: str) -> None:
    wing = module.split(".")[2:3]
    others = {name for name in IMPORTS[module] if name.startswith("pipeline.edges.")}

    assert {name for name in others if name.split(".")[2:3] != wing} == set()


def test_no_module_imports_itself_over_others() -> None:
    assert circles(IMPORTS) == []


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c", "b"], ["c", "b", "c"]]


@pytest.mark.parametrize("module", [module for module in MODULES if part_of(module) == "core"])
def test_core_touches_nothing(module: str) -> None:
    used = {name.split(".")[0] for name in IMPORTS[module]}
    calls = [node.func for node in ast.walk(ast.parse(MODULES[module].read_text())) if isinstance(node, ast.Call)]

    assert not used & FORBIDDEN_IN_CORE
    assert not [call for call in calls if isinstance(call, ast.Attribute) and call.attr in CLOCKS]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id in {"open", "print", "input"}]


def test_only_the_edges_speak_http() -> None:
    def users(library: str) -> set[str]:
        return {part_of(module) for module, imported in IMPORTS.items() if library in {name.split(".")[0] for name in imported}}

    assert users("httptools") == {"edges"}
    assert users("httpx") == {"edges", "runs", "library", "aio"}  # all but the edges only name the type of a transport that a caller brings

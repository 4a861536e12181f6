"""The dependency direction, held by reading every import: records, errors ← core ← {edges, stages} ← flow, config ← run ← cli."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pipeline"

# What a part may import of the package besides itself. Imports under TYPE_CHECKING bind nothing at run time and are free.
BASE = {"records", "errors", "messages", "version"}
MAY_IMPORT: dict[str, set[str]] = {
    "version": set(),
    "records": set(),
    "errors": {"records"},
    "messages": {"records"},
    "core": BASE,
    "ports": BASE | {"core"},
    "simulate": BASE | {"core"},
    "config": BASE | {"core", "simulate"},
    "edges": BASE | {"core", "ports", "config", "simulate"},
    "stages": BASE | {"core", "ports", "edges"},
    "durability": BASE | {"core", "ports", "edges"},
    "runs": BASE | {"core", "ports", "simulate", "config", "edges", "stages", "durability"},
    "inspect": BASE | {"core", "ports", "simulate", "config", "edges", "stages", "durability", "runs"},
}
TOP = {"cli", "__init__", "__main__"}  # may import everything

# The core decides; it neither waits nor looks, and nothing it does depends on when it is done.
FORBIDDEN_IN_CORE = {
    "asyncio", "concurrent", "httpx", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "select",
    "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "trio", "uuid",
}  # fmt: skip
CLOCKS = {"now", "utcnow", "today"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def runtime_nodes(tree: ast.AST) -> list[ast.AST]:
    """Every node that runs; the body of `if TYPE_CHECKING:` does not."""
    found: list[ast.AST] = []
    queue = [tree]
    while queue:
        node = queue.pop()
        found.append(node)
        if is_type_checking(node):
            assert isinstance(node, ast.If)
            queue.extend(node.orelse)
        else:
            queue.extend(ast.iter_child_nodes(node))
    return found


def imports(path: Path) -> set[str]:
    """Dotted names that a module imports at run time, also those inside functions."""
    names: set[str] = set()
    for node in runtime_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            assert node.module is not None
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part_of(dotted: str) -> str:
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_module_imports_only_what_is_below_it(path: Path) -> None:
    part = part_of(name_of(path))
    if part in TOP:
        return
    assert part in MAY_IMPORT, f"{part} has no place in the dependency direction yet: give it one in MAY_IMPORT"

    used = {part_of(name) for name in imports(path) if name.split(".")[0] == "pipeline"}

    assert used - {part} <= MAY_IMPORT[part]


@pytest.mark.parametrize("path", [path for path in modules() if part_of(name_of(path)) == "core"], ids=name_of)
def test_core_touches_nothing(path: Path) -> None:
    tree = ast.parse(path.read_text())
    used = {name.split(".")[0] for name in imports(path)}
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]

    assert not used & FORBIDDEN_IN_CORE
    assert not [call for call in calls if isinstance(call, ast.Attribute) and call.attr in CLOCKS]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id in {"open", "print", "input"}]


def test_only_the_edges_speak_http() -> None:
    users = {part_of(name_of(path)) for path in modules() if any(name.split(".")[0] in {"httpx", "httptools"} for name in imports(path))}

    assert users <= {"edges"}

"""The signatures in the library's reference are the code's, argument by argument; calls in its text can be made."""

from __future__ import annotations

import ast
import inspect
import re
from enum import Enum
from operator import attrgetter

import pytest

import pipeline
from tests.docs.documents import ROOT

TEXT = (ROOT / "docs/reference/library.md").read_text(encoding="utf-8")
SPAN = re.compile(r"^(?P<start>- )?`(?:await )?(?P<name>[A-Za-z_][A-Za-z_.]*)\((?P<arguments>[^`…]*)\)`", re.MULTILINE)
CALL = re.compile(r"(?<!^)(?<!^- )`(?:await )?([A-Za-z_][A-Za-z_.]*)\(([^`…]*)\)`", re.MULTILINE)
REQUIRED = "required"

INSIDE = [(name, arguments) for name, arguments in CALL.findall(TEXT) if name.partition(".")[0] in pipeline.__all__]
SIGNATURES = [(found["name"], found["arguments"]) for found in SPAN.finditer(TEXT)] + [each for each in INSIDE if "*, " in each[1]]
CALLS = [each for each in INSIDE if "*, " not in each[1]]


def documented(arguments: str) -> list[tuple[str, bool, str]]:
    """Name, whether it must be named, and default of each argument in a text."""
    (function,) = ast.parse(f"def f({arguments}): ...").body
    assert isinstance(function, ast.FunctionDef)
    given = function.args
    missing: list[ast.expr | None] = [None] * (len(given.args) - len(given.defaults))
    pairs = [(argument, False, default) for argument, default in zip(given.args, [*missing, *given.defaults], strict=True)]
    pairs += [(argument, True, default) for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return [(argument.arg, named, REQUIRED if default is None else ast.unparse(default)) for argument, named, default in pairs]


def shown(default: object) -> str:
    """A default as one writes it."""
    if default is inspect.Parameter.empty:
        return REQUIRED
    return str(default) if isinstance(default, Enum) else repr(default)


def defined(name: str) -> list[tuple[str, bool, str]]:
    """The same of the function or class itself, without `task_status`, which `nursery.start` passes."""
    signature = inspect.signature(attrgetter(name)(pipeline))
    return [
        (
            parameter.name,
            parameter.kind is parameter.KEYWORD_ONLY,
            REQUIRED if parameter.default is parameter.empty else shown(parameter.default),
        )
        for parameter in signature.parameters.values()
        if parameter.name != "task_status"
    ]


def test_there_are_signatures_to_compare() -> None:
    assert {"run", "stream", "run_batch", "load_config", "gate", "check", "serve_simulated"} <= {name for name, _ in SIGNATURES}


@pytest.mark.parametrize("name, arguments", SIGNATURES, ids=[name for name, _ in SIGNATURES])
def test_documented_signature_is_that_of_the_code(name: str, arguments: str) -> None:
    assert documented(arguments) == defined(name)


@pytest.mark.parametrize("name, arguments", CALLS, ids=[f"{name}-{number}" for number, (name, _) in enumerate(CALLS)])
def test_call_in_the_text_fits_the_code(name: str, arguments: str) -> None:
    call = ast.parse(f"f({arguments})", mode="eval").body
    assert isinstance(call, ast.Call)
    signature = inspect.signature(attrgetter(name)(pipeline))

    positional = [argument for argument in call.args if not isinstance(argument, ast.Starred)]
    signature.bind_partial(*positional, **{keyword.arg: None for keyword in call.keywords if keyword.arg is not None})


def test_an_argument_more_or_less_or_with_another_default_is_noticed() -> None:
    right = "config, *, transport=None"

    assert documented(right) != documented("config, transport=None")
    assert documented(right) != documented("config, *, transport=1")
    assert documented(right) != documented("config, *, transport=None, x=2")

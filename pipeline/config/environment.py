"""What a config takes from the environment: the provider's key, and headers whose value is `{env: NAME}`.

Nothing here reads the environment; it is handed in. A message names the variable and never shows what it holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.config.lanes import FromEnvironment
from pipeline.config.rules import environment_name
from pipeline.errors import ConfigError, Problem
from pipeline.patterns import later

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.config.lanes import ProviderConfig
    from pipeline.config.nodes import Node

_ASSIGNMENT = later(r"(export\s+)?[A-Z_][A-Z0-9_]*=(?!=|$)")  # and not base64, which may end in =
_SCHEME_AND_TOKEN = later(r"[A-Za-z][A-Za-z-]* \S+")
AUTHORIZATION = "authorization"
QUOTES = "\"'`\u2018\u2019\u201c\u201d"
SECRET_LENGTH = 8  # shorter texts, such as the `EMPTY` or `ollama` of a local server, are placeholders and no secrets


class Credentials(Struct, frozen=True):
    """What a provider is shown. key_header: name and value, None for none. secrets: the texts that must be shown nowhere else."""

    key_header: tuple[str, str] | None
    headers: dict[str, str]
    secrets: tuple[str, ...]

    def __repr__(self) -> str:
        """Nothing that is in it."""
        return f"Credentials({sorted(self.headers)})"


class Variable(Struct, frozen=True):
    """A variable that a provider needs. key: where the config names it. is_key: it holds the key and not another header."""

    key: str
    name: str
    is_key: bool
    bare: bool = False  # sent as it is, without `Bearer ` before it

    def problem(self, environment: Mapping[str, str]) -> str | None:
        """What is wrong with what it holds, or None."""
        return _problem_with(self, environment.get(self.name, ""))


def variables_of(provider: ProviderConfig, place: str = "provider") -> list[Variable]:
    """Every variable that a provider needs.

    place: where it stands in the config. A simulated provider needs none, so that a config can be rehearsed without a key.
    """
    if provider.simulate is not None:
        return []
    found = [] if provider.api_key_env is None else [_key_variable(provider.api_key_env, provider.api_key_header, place)]
    headers = provider.headers.items()
    return found + [_header_variable(name, value.env, place) for name, value in headers if isinstance(value, FromEnvironment)]


def sends_no_key(provider: ProviderConfig) -> bool:
    """Whether a real provider is shown no credential at all."""
    elsewhere = provider.api_key_file is not None or provider.api_key_command is not None
    return provider.simulate is None and not elsewhere and not variables_of(provider)


def problems_in(root: Node, environment: Mapping[str, str]) -> Iterator[Problem]:
    """Everything that is wrong with the variables that a config names, with the lines of the keys that name them.

    Looks at the tree, so that these problems can be reported together with all others. What cannot be a variable's name is skipped.
    """
    provider, several = root.child("provider"), root.child("providers")
    if provider is not None:
        yield from _problems_of(provider, "provider", environment)
    for index, lane in enumerate(several.value if several is not None and isinstance(several.value, list) else ()):
        yield from _problems_of(lane, f"providers[{index}]", environment)


def _problems_of(provider: Node, place: str, environment: Mapping[str, str]) -> Iterator[Problem]:
    if (simulate := provider.child("simulate")) is not None and simulate.value is not None:
        return
    header = provider.child("api_key_header")
    key = provider.child("api_key_env")
    found: list[tuple[Node, Variable]] = []
    if key is not None and isinstance(key.value, str):
        found.append((key, _key_variable(key.value, str(header.value) if header is not None else AUTHORIZATION, place)))
    headers = provider.child("headers")
    for name, node in headers.value.items() if headers is not None and isinstance(headers.value, dict) else ():
        variable = node.child("env")
        if variable is not None and isinstance(variable.value, str):
            found.append((variable, _header_variable(name, variable.value, place)))
    for node, named in found:
        message = None if environment_name(named.name) else named.problem(environment)
        if message is not None:
            yield node.problem(named.key, message)


def credentials_of(
    provider: ProviderConfig, environment: Mapping[str, str], place: str = "provider", key: str | None = None
) -> Credentials:
    """What to show a provider. place: where it stands in the config. key: what was read elsewhere, where it is not in a variable.

    Raises: ConfigError, with every variable that is not set or not as it should be.
    """
    variables = variables_of(provider, place)
    problems = [Problem(each.key, message, "config") for each in variables if (message := each.problem(environment)) is not None]
    if problems:
        raise ConfigError(problems)
    values = {each.name: environment[each.name].strip() for each in variables}
    key = key if provider.api_key_env is None else values.get(provider.api_key_env)
    headers = {
        name: values.get(value.env, "simulated") if isinstance(value, FromEnvironment) else value
        for name, value in provider.headers.items()
    }
    held = [*values.values(), *(() if key is None else (key,))]
    secrets = {text for value in held for text in (value, value.rpartition(" ")[2]) if len(text) >= SECRET_LENGTH}
    return Credentials(_key_header(provider, key), headers, tuple(sorted(secrets, key=len, reverse=True)))


def _key_header(provider: ProviderConfig, key: str | None) -> tuple[str, str] | None:
    if key is None:
        return None
    if provider.api_key_header.lower() != AUTHORIZATION:
        return provider.api_key_header, key
    return "Authorization", key if _SCHEME_AND_TOKEN.fullmatch(key) else f"Bearer {key}"


def _key_variable(name: str, header: str, place: str) -> Variable:
    return Variable(f"{place}.api_key_env", name, is_key=True, bare=header.lower() != AUTHORIZATION)


def _header_variable(header: str, name: str, place: str) -> Variable:
    return Variable(f"{place}.headers.{header}.env", name, is_key=False)


def _problem_with(variable: Variable, text: str) -> str | None:
    """What is wrong with a variable's text, or None."""
    value = text.strip()
    what = f"the environment variable {variable.name}"
    if not value:
        return f"{what} is not set: put {'the key of the provider' if variable.is_key else 'the value of this header'} in it"
    if not (value.isascii() and value.isprintable()):
        return f"{what} holds characters that no key has; was it pasted with something else?"
    if value[0] in QUOTES or value[-1] in QUOTES:
        return f"{what} holds quotes, which would be sent as a part of the key; set it without them"
    if _ASSIGNMENT.match(value):
        return f"{what} holds a name and '=' before the key; set it to what comes after '='"
    if not variable.is_key:
        return None
    if value.lower().startswith("bearer "):
        why = "which this header does not want" if variable.bare else "which headrace writes itself"
        return f"{what} starts with 'Bearer ', {why}; set it to the key alone"
    if " " in value and (variable.bare or not _SCHEME_AND_TOKEN.fullmatch(value)):
        return f"{what} holds a space, which no key has; was it pasted with something else?"
    return None

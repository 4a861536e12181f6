"""The flags that several commands have."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

QUIET = "headrace.quiet"  # where a command keeps that it was asked to be quiet
VOICES = ["auto", "live", "plain", "json", "none"]

Body = TypeVar("Body", bound="Callable[..., object]")


def _note_quiet(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001  click's signature
    context.meta[QUIET] = value


def is_quiet() -> bool:
    """Whether the command that runs was given -q. False outside a command."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(QUIET))


def verbose_flag(body: Body) -> Body:
    """How much a command says."""
    for part in (
        click.option(
            "-q", "--quiet", is_flag=True, expose_value=False, callback=_note_quiet, help="Say nothing unless something is wrong."
        ),
        click.option(
            "-v", "--verbose", count=True, help="Tell what happens: why attempts failed, pauses, changes of pace. -vv logs every attempt."
        ),
    ):
        body = part(body)
    return body


json_flag = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")


def common_flags(body: Body) -> Body:
    """What every command has that runs something or looks at a run."""
    for part in (
        verbose_flag,
        json_flag,
        click.option("--progress", type=click.Choice(VOICES), default="auto", help="How progress is shown."),
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set a dotted key to a YAML value. Repeatable."),
    ):
        body = part(body)
    return body


def common(body: Body) -> Body:
    """What every command has that works on a config."""
    return common_flags(click.argument("config_path", metavar="CONFIG", type=click.Path())(body))

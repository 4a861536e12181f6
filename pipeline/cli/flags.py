"""The flags that several commands have."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

VOICES = ["auto", "live", "plain", "json", "none"]

Body = TypeVar("Body", bound="Callable[..., object]")


verbose_flag = click.option(
    "-v", "--verbose", count=True, help="Tell what happens: why attempts failed, pauses, changes of pace. -vv logs every attempt."
)
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

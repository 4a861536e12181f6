"""Shows the progress of a call: in a notebook's cell, or as live lines on a terminal.

In a notebook there is one display, which is updated in place; when the notebook is read again, it holds the last state. It needs no
widgets: a saved notebook, GitHub and nbconvert show it too.
"""

from __future__ import annotations

import html
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import define, field

from pipeline.cli.display import screen_for, sentences
from pipeline.cli.terminal import Terminal
from pipeline.cli.view import Facts, Watcher
from pipeline.core.output.words import amount, duration, many, share, title

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.cli.view import View
    from pipeline.config import Config
    from pipeline.summaries import Progress

KERNELS = frozenset({"ZMQInteractiveShell", "Shell"})  # Jupyter and VS Code; Colab


@contextmanager
def showing(wanted: bool | Callable[[Progress], None] | None, config: Config) -> Iterator[Callable[[Progress], None] | None]:  # noqa: FBT001
    """What to call with progress while a block runs. wanted: as `run_batch` takes it."""
    if callable(wanted):
        yield wanted
        return
    in_kernel = runs_in_kernel()
    facts = evolve_facts(Facts.of(config))
    if wanted is False or (wanted is None and not in_kernel):
        yield None
    elif in_kernel:
        card = Card(Watcher(facts))
        yield card.show
        card.finish()
    else:
        with Terminal["Progress"](sys.stderr) as terminal:
            terminal.use(screen_for("auto", terminal.output, facts, os.environ))
            yield terminal.show


def evolve_facts(facts: Facts) -> Facts:
    """The facts of a call that reads and writes no files."""
    return Facts("rows", "outcomes", facts.requests, facts.tokens_per_minute, facts.max_in_flight)


def runs_in_kernel() -> bool:
    """Whether a notebook shows what is displayed."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return type(shell).__name__ in KERNELS


@define(eq=False)
class Card:
    """One display of a notebook's cell."""

    watcher: Watcher
    last: View | None = None
    _handle: Any = field(default=None)

    def show(self, progress: Progress) -> None:
        """Draw the newest state in place of the one before."""
        self.last = self.watcher.look(progress)
        self._display(card_html(self.last), ", ".join(sentences(self.last)))

    def finish(self) -> None:
        """Leave what came of it: the rate is the mean, and nothing holds it back any more."""
        if self.last is not None:
            self._display(done_html(self.last), done_text(self.last))

    def _display(self, markup: str, text: str) -> None:
        from IPython.display import display  # noqa: PLC0415  there is a kernel, so it is there

        bundle = {"text/html": markup, "text/plain": text}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def card_html(view: View) -> str:
    """A moment of a run, in the colours of the page that it stands on."""
    about = "" if view.exact or view.total is None else "≈"
    rows = many(view.done, "row") if view.total is None else f"{view.done:,} of {about}{many(view.total, 'row')}"
    left = "" if view.left_seconds is None else f"{duration(view.left_seconds)} left"
    facts = [rows, f"{amount(view.rate)}/s", f"{view.in_flight:,} in flight", left]
    held = f"held by {view.held}" + (f": {view.why}" if view.why else "")
    return _card(view, _joined(facts), held)


def done_html(view: View) -> str:
    """What came of a run."""
    return _card(view, done_text(view), "")


def done_text(view: View) -> str:
    """What came of a run, in a sentence."""
    rate = view.done / view.elapsed if view.elapsed > 0 else 0.0
    failed = f", {view.failed:,} failed" if view.failed else ""
    return f"{many(view.done, 'row')} in {duration(view.elapsed)}, {amount(rate)} a second{failed}"


def _card(view: View, first: str, second: str) -> str:
    fraction = 0.0 if view.fraction is None else min(1.0, view.fraction)
    bar = (
        f'<div role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{fraction * 100:.0f}" aria-label="progress" '
        f'style="height:4px;border-radius:2px;background:rgba(128,128,128,.3);max-width:40em"><div style="height:4px;border-radius:2px;'
        f'background:currentColor;width:{fraction * 100:.1f}%"></div></div>'
    )
    lines = [f"<div><b>{share(fraction) if view.fraction is not None else ''}</b> {html.escape(first)}</div>", bar]
    if second:
        lines.append(f'<div style="opacity:.75">{html.escape(second)}</div>')
    for code, group in view.failures[:3]:
        message = " ".join(group.example.message.split())[:160]
        what = f"{group.count:,} × {title(code)}, row {group.example.index + 1:,}: {message}"
        lines.append(f"<div>{html.escape(what)}</div>")
    return f'<div style="font-variant-numeric:tabular-nums;line-height:1.6">{"".join(lines)}</div>'


def _joined(parts: list[str]) -> str:
    return " · ".join(filter(None, parts))

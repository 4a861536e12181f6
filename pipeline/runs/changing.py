"""Puts another config in force while a run goes on, as far as that is possible: limits, budgets, prices, routing and lanes.

The caller reads the new config; here it is compared with the one in force. New lanes are opened first. Then one message takes
all changes to the gate, which makes them between two departures, because nobody else may touch the lanes. What cannot change
while a run goes on stays as it was, and is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from pipeline.config.sections import is_section, settings_of
from pipeline.core.pacing.account import Account
from pipeline.core.pacing.budget import Budget
from pipeline.core.pacing.meter import limits_from
from pipeline.errors import ConfigError, Problem
from pipeline.messages import Change, Spending, Spent
from pipeline.runs.accounts import accounts_of, limits_of, own_limits, rates_for
from pipeline.runs.course import cancel_at
from pipeline.runs.keys import credentials_for
from pipeline.runs.lanes import allowed_by, in_flight_possible, lane_state, limits_in, rates_in
from pipeline.runs.live import Changed
from pipeline.runs.names import lane_name, place_of
from pipeline.runs.pricing import prices_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.config import Config, ProviderConfig
    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.runs.live import Running

REMOVED = "it is not in the config any more"
OF_A_LANE = frozenset({"name", "weight", "priority", "limits", "prices", "budget"})  # of these keys of a lane any may change
OF_A_RUN = frozenset({"limits", "budget", "prices", "routing", "provider", "providers"})
KEPT_LIMITS = ("learn", "shared", "window", "window_bytes")


async def put_in_force(running: Running, new: Config, post: trio.MemorySendChannel[Change]) -> Changed:
    """See `LiveConfig.replace`."""
    names = {state.name for state in running.settings.lanes.states}
    added = [index for index in range(len(new.lanes)) if lane_name(new, index) not in names]
    if bool(new.providers) != bool(running.config.providers):
        message = "provider and providers cannot take each other's place while a run goes on"
        raise ConfigError([Problem("providers", message, "config")])
    _see_that_nothing_new_is_shared(new, added)
    prices_of(new)  # a table may not be installed
    shown = {index: await trio.to_thread.run_sync(credentials_for, new.lanes[index], place_of(new, index)) for index in added}
    endpoints = {index: running.providers.endpoint(new, index, shown[index]) for index in added}
    for index in added:
        running.settings.fetch.secrets.add(shown[index].secrets)
        await running.providers.add(new.lanes[index], endpoints[index])
    found = Changed(tuple(_changes(running.config, new)), tuple(_kept(running.config, new)))
    done = trio.Event()

    def apply(now: float) -> None:
        _apply(running, new, added, now)
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel_at, running.ended, nursery.cancel_scope)
        await post.send(Change(apply))
        await done.wait()
        nursery.cancel_scope.cancel()
    if not done.is_set():
        return Changed()  # the run has ended meanwhile
    running.config = new
    return found


# ---- called by the gate ---------------------------------------------------------------------------------------------


def _apply(running: Running, new: Config, added: list[int], now: float) -> None:
    _set_budgets(running, new, now)
    began = running.course.tallies.gate.first_at
    by_name = {state.name: state for state in running.settings.lanes.states}
    wanted = {lane_name(new, index): index for index in range(len(new.lanes))}
    for name, state in by_name.items():
        if name in wanted:
            _set_lane(state, new, wanted[name], now, began)
        elif state.usable:
            state.retire(REMOVED)
            state.allowance.change(0.0, now, began or now)
    more = [lane_state(new, index, len(running.settings.lanes.states) + place, running.accounts) for place, index in enumerate(added)]
    for state in more:
        state.allowance.begin(now)
    running.settings.lanes.change(more, most_in_flight=in_flight_possible(new), fallback_after_seconds=new.routing.fallback_after_seconds)
    running.course.use_prices(new)


def _set_lane(state: LaneState, new: Config, index: int, now: float, began: float) -> None:
    """began: when the first attempt of the run left, 0 if none has."""
    provider = new.lanes[index]
    limits = limits_in(new, provider)
    state.limits.retune(limits_from(**rates_in(limits)), now, slots=limits.max_in_flight)
    state.workers = limits.max_in_flight
    state.allowance.change(allowed_by(limits), now, began or now)
    state.weight, state.priority = getattr(provider, "weight", 1.0), getattr(provider, "priority", 0)
    state.setting = place_of(new, index)
    if not state.usable:
        state.use_again()


def _set_budgets(running: Running, new: Config, now: float) -> None:
    if running.accounts is None:
        _begin_budgets(running, new, now)
        return
    running.accounts.run.retune(limits_of(new.budget), started=running.accounts.started)
    for index, provider in enumerate(new.lanes):
        account = running.accounts.lanes.get(lane_name(new, index))
        if account is None:
            account = Account(running.accounts.run, Budget(own_limits(provider), started=now))
            running.accounts.lanes[lane_name(new, index)] = account
        account.own.retune(own_limits(provider), started=running.accounts.started)
        account.rates_of = rates_for(new, provider)
        account.setting = place_of(new, index)


def _begin_budgets(running: Running, new: Config, now: float) -> None:
    """There was no budget so far: go on from what was spent, and let what is in flight end first, which nothing is reserved for."""
    ledger = running.course.tallies.ledger
    attempts = sum(state.attempts - len(state.health.flying) for state in running.settings.lanes.states)
    spent = Spending(ledger.cost, ledger.prompt_tokens + ledger.output_tokens, attempts)
    running.accounts = accounts_of(new, Spent(spent, now - running.course.started), now)
    if running.accounts is None:
        return
    for state in running.settings.lanes.states:
        account = running.accounts.lanes.get(state.name)
        if account is not None:
            account.unreserved = len(state.health.flying)
            state.account = account
    running.figures.spent = running.accounts.snapshot


def _see_that_nothing_new_is_shared(new: Config, added: list[int]) -> None:
    for index in added:
        if limits_in(new, new.lanes[index]).shared is not None:
            message = "a lane whose limits are shared cannot be added while a run goes on"
            raise ConfigError([Problem(f"{place_of(new, index)}.limits.shared", message, "config")])


def _can_change(key: str, *, shared: bool) -> bool:
    """Whether a key of `limits` can change. Rates that are shared cannot be changed by one of those who share them."""
    name = key.removeprefix("limits.")
    return name in {key, "max_in_flight"} or not (shared or name in KEPT_LIMITS)


def _changes(old: Config, new: Config) -> Iterator[str]:
    """What is other in a new config, of what can be changed, in words."""
    for key, before, after in _differences(old, new, OF_A_RUN - {"provider", "providers"}):
        if _can_change(key, shared=old.limits.shared is not None):
            yield f"{key}: {_shown(before)} -> {_shown(after)}"
    before_by_name, after_by_name = _lanes(old), _lanes(new)
    for name in before_by_name.keys() - after_by_name.keys():
        yield f"lane {name or 'of provider'} is used no longer"
    for name, after in after_by_name.items():
        if name not in before_by_name:
            yield f"lane {name or 'of provider'} is used from now on"
            continue
        before = before_by_name[name]
        for key, was, will in _lane_differences(old, new, before, after, OF_A_LANE):
            if _can_change(key, shared=limits_in(old, before).shared is not None):
                yield f"lane {name}: {key}: {_shown(was)} -> {_shown(will)}"


def _kept(old: Config, new: Config) -> Iterator[str]:
    """Keys that differ and cannot change while a run goes on."""
    for key, _, _ in _differences(old, new, frozenset(old.__struct_fields__) - {"provider", "providers"}):
        if key.partition(".")[0] not in OF_A_RUN or not _can_change(key, shared=old.limits.shared is not None):
            yield key
    after_by_name = _lanes(new)
    for name, before in _lanes(old).items():
        if name in after_by_name:
            place = "provider" if not name else f"lane {name}: "
            for key, _, _ in _lane_differences(old, new, before, after_by_name[name], None):
                shared = limits_in(old, before).shared is not None
                if key.partition(".")[0] not in OF_A_LANE or not _can_change(key, shared=shared):
                    yield f"{place}.{key}" if not name else f"{place}{key}"


def _lane_differences(
    old: Config, new: Config, before: ProviderConfig, after: ProviderConfig, names: frozenset[str] | None
) -> Iterator[tuple[str, object, object]]:
    """The same of a lane. Where it gets limits of its own, or has them no longer, those that hold are compared one by one."""
    for key, was, will in _differences(before, after, names):
        if key == "limits":
            yield from _differences(limits_in(old, before), limits_in(new, after), None, "limits.")
        else:
            yield key, was, will


def _lanes(config: Config) -> dict[str, ProviderConfig]:
    return {lane_name(config, index): provider for index, provider in enumerate(config.lanes)}


def _differences(old: object, new: object, names: frozenset[str] | None, path: str = "") -> Iterator[tuple[str, object, object]]:
    """The dotted keys under which two sections differ, with both values. names: only these keys; None is all."""
    cls: type = type(old)
    for setting in settings_of(cls):
        if names is not None and setting.name not in names:
            continue
        before, after = getattr(old, setting.name), getattr(new, setting.name, None)
        key = f"{path}{setting.name}"
        if before == after:
            continue
        if type(before) is type(after) and is_section(type(before)):
            yield from _differences(before, after, None, f"{key}.")
        else:
            yield key, before, after


def _shown(value: object) -> str:
    """A value of a config in one word; of a section only that there is one."""
    if is_section(type(value)):
        return "set"
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

"""What all workers together have found of a limit, and each one's part of it."""

from __future__ import annotations

from pipeline.core.cluster.found import AWAY_REQUESTS, AWAY_SECONDS, Found
from pipeline.core.pacing.findings import Learned

A_MINUTE = 600.0


def of(found: Learned | None) -> float | None:
    return None if found is None else found.requests_per_minute


def sent_by(*workers: str) -> Found:
    found = Found()
    for worker in workers:
        found.note(worker, 0.0, sends=True)
    return found


def test_what_a_worker_finds_while_the_others_have_nothing_to_send_is_all_that_there_is() -> None:
    found = sent_by("a", "b")
    found.note("b", 0.0, sends=False)
    found.note("b", AWAY_SECONDS + 0.1, sends=False)

    found.hear("a", Learned(A_MINUTE, "bucket"))

    assert of(found.together) == A_MINUTE


def test_who_has_nothing_to_send_leaves_its_part_to_the_others_and_gets_it_back() -> None:
    found = sent_by("a", "b")
    found.hear("a", Learned(A_MINUTE / 3, "bucket"))
    found.hear("b", Learned(2 * A_MINUTE / 3, "bucket"))

    found.note("b", 5.0, sends=False)
    found.look(5.0 + AWAY_SECONDS / 2)
    assert of(found.part_of("a")) == A_MINUTE / 3
    found.look(5.1 + AWAY_SECONDS)
    assert (of(found.part_of("a")), of(found.part_of("b"))) == (A_MINUTE, None)

    found.note("b", 9.0, sends=True)
    assert (of(found.part_of("a")), of(found.part_of("b"))) == (A_MINUTE / 2, A_MINUTE / 2)


def test_who_has_something_to_send_again_soon_is_not_missed() -> None:
    found = sent_by("a", "b")
    found.hear("a", Learned(A_MINUTE, "bucket"))
    shared = found.shared

    for at in range(5):
        found.note("b", float(at), sends=False)
        found.note("b", at + AWAY_SECONDS / 2, sends=True)

    assert found.shared == shared


def test_a_worker_that_sends_few_a_minute_is_given_the_time_to_be_seen() -> None:
    found = sent_by("a", "b")
    for worker in ("a", "b"):
        found.hear(worker, Learned(6.0, "bucket"))
    shared = found.shared

    found.note("b", 0.0, sends=False)
    found.look(60.0 / 6.0 * AWAY_REQUESTS - 1.0)
    assert found.shared == shared
    found.look(60.0 / 6.0 * AWAY_REQUESTS + 1.0)
    assert found.shared == shared + 1


def test_what_was_found_is_kept_while_nobody_sends() -> None:
    found = sent_by("a")
    found.hear("a", Learned(A_MINUTE, "sliding", 60.0))

    found.note("a", 1.0, sends=False)
    found.look(1_000.0)
    found.note("b", 1_001.0, sends=True)
    found.look(1_010.0)

    assert found.part_of("b") == Learned(A_MINUTE, "sliding", 60.0)

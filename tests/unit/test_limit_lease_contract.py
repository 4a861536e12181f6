"""The contract of `LimitLease`, for each implementation: the shares never add up to more than the limit, and none is lost for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.core.pacing.lane import Bound, Limit, Wait
from pipeline.core.pacing.leased import LeasedLane
from pipeline.core.pacing.permits import Coordinator, GivenUpError
from pipeline.edges.leases.machine import LimitsDifferError, MachineLease, shared_folder
from tests.fakes.leases import Clock, LeaseInMemory, Process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


LIMIT = Limit(Bound.REQUESTS_PER_SECOND, 100, 1.0)
OTHER = LeasedLane([Limit(Bound.REQUESTS_PER_SECOND, 50, 1.0)]).shared


class LeaseContract:
    """What holds for every implementation. `join` makes a process that shares the limit with those before."""

    join: Callable[[], Process]
    clock: Clock

    def test_a_process_alone_gets_the_whole_limit(self) -> None:
        process = self.join()

        process.report()

        assert process.held == 100

    def test_two_busy_processes_share_it_and_never_hold_more_than_all(self) -> None:
        one, two = self.join(), self.join()
        for _ in range(20):
            for process in (one, two):
                process.send()
                process.report()
                assert one.held + two.held <= 100
            self.clock.now += 0.1

        assert one.held == two.held == 50

    def test_no_second_holds_more_than_the_limit_while_shares_move(self) -> None:
        sent: list[tuple[float, int]] = []
        processes = [self.join()]
        for step in range(300):
            if step == 60:
                processes.append(self.join())
            if step == 200:
                gone = processes.pop(0)
                gone.lease.leave(gone.lane.give_all_back(self.clock.now))
            for process in processes:
                sent.append((self.clock.now, process.send()))
                if step % 10 == 0:
                    process.report()
            self.clock.now += 0.01

        for at, _ in sent:
            assert sum(count for then, count in sent if at <= then < at + 1) <= 100
        assert sum(count for then, count in sent if 1000.5 <= then < 1002.9) >= 0.9 * 240

    def test_a_process_that_died_leaves_its_share_to_the_others_within_seconds(self) -> None:
        dead, alive = self.join(), self.join()
        for _ in range(10):
            for process in (dead, alive):
                process.send()
                process.report()
            self.clock.now += 0.1
        for _ in range(60):
            self.clock.now += 0.1
            alive.send()
            alive.report()

        assert alive.held == 100

    def test_a_process_that_was_silent_may_send_nothing_until_it_has_joined_anew(self) -> None:
        silent, other = self.join(), self.join()
        for process in (silent, other, silent):
            process.send()
            process.report()
        self.clock.now += silent.lease.valid_seconds
        assert silent.send() == 0
        for _ in range(40):
            self.clock.now += 0.1
            other.report()

        with pytest.raises(GivenUpError):
            silent.report()
        assert silent.held == 0
        for _ in range(20):
            for process in (silent, other):
                process.send()
                process.report()
                assert silent.held + other.held <= 100
            self.clock.now += 0.1

        assert silent.held == 50

    def test_a_process_that_is_not_heard_any_more_has_stopped_before_others_get_its_permits(self) -> None:
        cut_off, other = self.join(), self.join()
        cut_off.report()
        sent: list[tuple[float, int]] = []
        for step in range(600):
            sent += [(self.clock.now, process.send()) for process in (cut_off, other)]
            if step % 10 == 0:
                other.report()
            self.clock.now += 0.01

        assert other.held == 100
        for at, _ in sent:
            assert sum(count for then, count in sent if at <= then < at + 1) <= 100

    def test_permits_of_one_who_leaves_are_at_once_the_others_but_not_before_their_time(self) -> None:
        leaving, staying = self.join(), self.join()
        leaving.report()
        self.clock.now += 0.5
        used = leaving.send()
        assert used > 0
        leaving.lease.leave(leaving.lane.give_all_back(self.clock.now))

        staying.report()

        assert 100 - used <= staying.held <= 100
        assert staying.send() <= 100 - used

    def test_permits_whose_return_was_never_heard_of_are_not_lost_when_their_holder_leaves(self) -> None:
        leaving, staying = self.join(), self.join()
        leaving.report()
        staying.report()
        leaving.report()
        leaving.lane.demand(self.clock.now)  # gives back what was asked for, in a report that is not heard
        leaving.lease.leave(leaving.lane.give_all_back(self.clock.now))
        for _ in range(20):
            self.clock.now += 0.1
            staying.report()

        assert staying.held == 100


class TestInMemory(LeaseContract):
    """The fake that tests of the stages use."""

    @pytest.fixture(autouse=True)
    def _set_up(self) -> None:
        self.clock = Clock()
        coordinator = Coordinator.of(LeasedLane([LIMIT]).shared)
        self.join = lambda: Process(self.clock, LeaseInMemory(coordinator, self.clock), LIMIT)


class TestOnThisMachine(LeaseContract):
    """SQLite, which processes share."""

    @pytest.fixture(autouse=True)
    def _set_up(self, tmp_path: Path) -> None:
        self.clock = Clock()
        self.folder = tmp_path / "limits"
        self.join = lambda: Process(self.clock, MachineLease(self.folder, "key", LeasedLane([LIMIT]).shared, clock=self.clock), LIMIT)

    def test_other_limits_under_the_same_name_are_refused_while_somebody_shares_it(self) -> None:
        self.join().report()
        other = LeasedLane([Limit(Bound.REQUESTS_PER_SECOND, 50, 1.0)]).shared

        with pytest.raises(LimitsDifferError):
            MachineLease(self.folder, "key", other, clock=self.clock)
        MachineLease(self.folder, "another", other, clock=self.clock)

    def test_other_limits_hold_once_nobody_shares_the_old_ones_and_what_was_used_is_let_pass(self) -> None:
        process = self.join()
        process.report()
        process.lease.leave(process.lane.give_all_back(self.clock.now))
        lane = LeasedLane([Limit(Bound.REQUESTS_PER_SECOND, 50, 1.0)])

        lease = MachineLease(self.folder, "key", lane.shared, clock=self.clock)
        lane.receive(lease.report(lane.demand(self.clock.now)), self.clock.now)

        assert isinstance(lane.admit(self.clock.now, 0), Wait)
        self.clock.now += 1.1
        lane.receive(lease.report(lane.demand(self.clock.now)), self.clock.now)
        assert not isinstance(lane.admit(self.clock.now, 0), Wait)

    def test_a_process_that_wakes_up_to_other_limits_sends_nothing_until_those_are_gone(self) -> None:
        silent = self.join()
        silent.report()
        self.clock.now += 4.0
        other = Process(self.clock, MachineLease(self.folder, "key", OTHER, clock=self.clock), Limit(Bound.REQUESTS_PER_SECOND, 50, 1.0))
        other.report()

        with pytest.raises(OSError, match="other limits"):
            silent.report()
        assert silent.send() == 0
        other.lease.leave(other.lane.give_all_back(self.clock.now))
        with pytest.raises(GivenUpError):
            silent.report()
        assert silent.held == 0
        self.clock.now += 1.1
        silent.report()
        self.clock.now += 1.1
        silent.report()

        assert silent.held == 100

    def test_a_process_that_ends_while_others_share_other_limits_says_nothing(self) -> None:
        silent = self.join()
        silent.report()
        self.clock.now += 4.0
        other = Process(self.clock, MachineLease(self.folder, "key", OTHER, clock=self.clock), Limit(Bound.REQUESTS_PER_SECOND, 50, 1.0))
        other.report()

        silent.lease.leave(silent.lane.give_all_back(self.clock.now))

        self.clock.now += 1.1
        other.report()
        assert other.held == 50

    def test_files_are_for_their_owner_alone_and_those_of_earlier_boots_are_removed(self) -> None:
        self.join().report()
        (mine,) = self.folder.glob("key.*.sqlite")
        name, machine, boot, _ = mine.name.rsplit(".", 3)
        old = mine.with_name(f"{name}.{machine}.0{boot[1:]}x.sqlite")
        elsewhere = mine.with_name(f"{name}.another-{machine}.{boot}.sqlite")
        for path in (old, elsewhere):
            path.touch()

        self.join()

        assert mine.stat().st_mode & 0o077 == 0
        assert mine.parent.stat().st_mode & 0o077 == 0
        assert (old.exists(), elsewhere.exists()) == (False, True)

    def test_a_file_that_cannot_be_used_says_which(self) -> None:
        self.folder.parent.joinpath("file").touch()

        with pytest.raises(OSError, match="file"):
            MachineLease(self.folder.parent / "file" / "limits", "key", LeasedLane([LIMIT]).shared, clock=self.clock)


def test_a_service_and_a_login_of_one_user_use_the_same_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    login = shared_folder()
    monkeypatch.delenv("XDG_RUNTIME_DIR")

    assert shared_folder() == login == tmp_path / ".cache" / "headrace" / "limits"

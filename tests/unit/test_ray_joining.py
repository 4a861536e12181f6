"""Joining a Ray cluster: where nobody listens that is said at once, with what to do, and signals stay this process's own."""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from pipeline.engines.ray.starting import see_that_it_listens, take_back_signals
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def test_an_address_at_which_nobody_listens_is_refused_with_what_to_do() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"  # nobody listens, and nobody else gets the port meanwhile

        with pytest.raises(UsageError, match=rf"engine\.ray\.address: {address}: the Ray cluster cannot be reached: .+; name the head"):
            see_that_it_listens(address)


def test_a_port_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be reached"):
        see_that_it_listens("127.0.0.1:99999")


@pytest.mark.parametrize("address", ["local", "auto", "ray://head:10001/x"])
def test_words_and_other_addresses_are_left_to_ray(address: str) -> None:
    see_that_it_listens(address)


def test_an_address_at_which_somebody_listens_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        see_that_it_listens(f"127.0.0.1:{server.getsockname()[1]}")


def test_a_handler_in_c_that_prints_stacks_is_put_out_of_force(tmp_path: Path) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with (tmp_path / "said").open("w+") as said:
            faulthandler.register(signal.SIGTERM, file=said, chain=True)  # does what Ray does
            take_back_signals()
            os.kill(os.getpid(), signal.SIGTERM)
            said.flush()
            assert (tmp_path / "said").read_text() == ""
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]

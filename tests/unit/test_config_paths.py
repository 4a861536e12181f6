"""Paths in a config: which files they mean, and which must not be one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.config import (
    TlsConfig,
    load_config,
    load_config_text,
)
from pipeline.errors import ConfigError
from tests.fakes.configs import GOOD, problem_with

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def test_source_and_sink_are_one_file_also_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").touch()
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "in.jsonl")
    overrides: Sequence[str] = [f"source.path={tmp_path}/in.jsonl", f"sink.path={tmp_path}/link.jsonl"]

    assert "is the source" in problem_with(*overrides)


@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
def test_tls_file_that_is_missing_is_told_with_its_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "there.pem").touch()
    tls = {"ca": "there.pem", "certificate": "there.pem", "key": "there.pem"} | {name: "gone.pem"}
    text = GOOD.replace("  api_key_env: EXAMPLE_API_KEY\n", "  tls:\n" + "".join(f"    {key}: {path}\n" for key, path in tls.items()))
    line = next(number for number, each in enumerate(text.splitlines(), 1) if "gone" in each)

    with pytest.raises(ConfigError) as caught:
        load_config_text(text, "c.yaml", folder=tmp_path)

    assert str(caught.value) == f"c.yaml:{line}: provider.tls.{name}: no such file: {tmp_path / 'gone.pem'}"


def test_paths_of_the_transport_are_relative_to_the_config(tmp_path: Path) -> None:
    (tmp_path / "a.pem").touch()
    text = GOOD.replace(
        "  api_key_env", "  unix_socket: run/server.sock\n  tls: {ca: a.pem, certificate: ./a.pem, key: a.pem}\n  api_key_env"
    )

    provider = load_config_text(text, "c.yaml", folder=tmp_path).provider

    path = str(tmp_path / "a.pem")
    assert provider.tls == TlsConfig(ca=path, certificate=path, key=path)
    assert provider.unix_socket == str(tmp_path / "run/server.sock")


def test_key_without_its_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key.pem").touch()

    assert "provider.tls.key: is of no use without provider.tls.certificate" in problem_with(f"provider.tls={{key: {tmp_path}/key.pem}}")


def test_http2_needs_https() -> None:
    """It is agreed upon in the TLS handshake. A simulated provider is rehearsed with, whatever the config says of the real one."""
    assert "so base_url must be https" in problem_with("provider.http2=true", "provider.base_url=http://localhost/v1")
    assert load_config_text(GOOD, "c.yaml", ["provider.http2=true"]).provider.http2
    assert load_config_text(GOOD, "c.yaml", ["provider.http2=true", "provider.base_url=null", "provider.simulate={}"]).provider.http2


def test_unix_socket_must_fit_into_an_address() -> None:
    assert "must have at most 103 bytes" in problem_with("provider.unix_socket=/" + "x" * 103)


@pytest.mark.parametrize(
    "override, key",
    [
        ("sink.path=c.yaml", "sink.path"),
        ("journal.path=./c.yaml", "journal.path"),
        ("sink.path=link", "sink.path"),
        ("cache={path: c.yaml}", "cache.path"),
    ],
)
def test_a_config_is_not_overwritten_by_what_it_describes(tmp_path: Path, override: str, key: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("{source: {path: in.jsonl}, provider: {base_url: 'http://a'}, sink: {path: out.jsonl}}")
    (tmp_path / "link").symlink_to(path)

    with pytest.raises(ConfigError) as caught:
        load_config(path, [override])

    assert [(problem.key, problem.message) for problem in caught.value.problems] == [(key, "is this config, which would be overwritten")]


def test_sink_that_is_a_folder_is_told_so(tmp_path: Path) -> None:
    told = problem_with(f"sink.path={tmp_path}/out/")

    assert f"sink.path: names a folder; name a file in it, such as {tmp_path}/out/results.jsonl" in told

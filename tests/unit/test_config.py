"""The config: what is accepted, what is refused, and how it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from pipeline.config import (
    Config,
    Durability,
    LimitsConfig,
    Order,
    PricesConfig,
    ProviderConfig,
    RequestConfig,
    RetryConfig,
    Shape,
    SinkConfig,
    SourceConfig,
    load_config,
    load_config_text,
)
from pipeline.config.load import load_simulate
from pipeline.errors import ConfigError
from pipeline.records import Transport
from pipeline.simulate import Distribution, SimulateConfig
from tests.fakes.configs import GOOD, NO_KEY, NO_PATH, problem_with, problems_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_what_is_left_out_has_its_default() -> None:
    config = load_config_text(GOOD, "c.yaml")

    assert config.limits == LimitsConfig()
    assert config.retry == RetryConfig(attempts=6, base_seconds=0.5, cap_seconds=60.0)
    assert (config.sink.order, config.sink.shape) == (Order.INPUT, Shape.BATCH)
    assert (config.journal.path, config.journal.durability) == (None, Durability.PROCESS)
    assert (config.provider.transport, config.provider.api_key_header) == (Transport.OWN, "authorization")
    assert config.prices is None


def test_body_keeps_its_json_types() -> None:
    request = load_config_text(GOOD, "c.yaml").request

    assert request is not None
    assert request.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "{prompt}"}],
        "temperature": 0.5,
        "stop": None,
        "stream": False,
    }


def test_a_whole_number_is_taken_for_a_float_and_becomes_one() -> None:
    rate = load_config_text(GOOD, "c.yaml", ["limits.requests_per_second=100"]).limits.requests_per_second

    assert rate == 100.0
    assert isinstance(rate, float)


def test_an_empty_section_has_all_its_defaults() -> None:
    assert load_config_text(GOOD + "limits:\ntimeouts: {}\n", "c.yaml") == load_config_text(GOOD, "c.yaml")


def test_relative_path_is_relative_to_the_config_file(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "c.yaml"
    file.parent.mkdir()
    file.write_text(GOOD)

    config = load_config(file, ["sink.path=../out.jsonl", "journal.path=j"])

    assert config.source.path == str(tmp_path / "sub" / "in.jsonl")
    assert config.sink.path == str(tmp_path / "out.jsonl")
    assert config.journal.path == str(tmp_path / "sub" / "j")


def test_home_and_stdin_are_paths_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")

    config = load_config_text(GOOD, "c.yaml", ["source.path=-", "sink.path=~/out.jsonl"])

    assert config.source.path == "-"
    assert config.sink.path == "/home/somebody/out.jsonl"


def test_override_wins_over_the_file_and_over_those_before_it() -> None:
    config = load_config_text(GOOD, "c.yaml", ["limits.burst=3", "limits.burst=4", "request.body={model: '{x}'}", "provider.api_key_env="])

    assert config.limits.burst == 4
    assert config.request == RequestConfig(url="/v1/chat/completions", body={"model": "{x}"})
    assert config.provider.api_key_env is None


@pytest.mark.parametrize(
    "content, hint",
    [
        ("'Summarise the text.'", "write {NAME}, in quotes, where the field NAME of a row should go"),
        ("'{{ prompt }}'", "messages[0].content has {{ prompt }}, which is no field here; write {prompt}"),
        ("{prompt}", "put a template in quotes"),
    ],
)
def test_a_body_that_takes_no_field_is_refused_and_says_how_to_mean_it(content: str, hint: str) -> None:
    text = GOOD.replace('"{prompt}"', content)
    assert text != GOOD

    with pytest.raises(ConfigError, match="same request") as caught:
        load_config_text(text, "c.yaml")

    (problem,) = [problem for problem in caught.value.problems if problem.key == "request.body"]
    assert problem.line is not None
    assert hint in str(caught.value)


@pytest.mark.parametrize("text", ["content: Translate: {prompt}", "{content: Translate: {prompt}}"])
def test_a_text_with_a_colon_that_is_not_in_quotes_is_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config_text(text, "c.yaml")

    (problem,) = caught.value.problems
    assert problem.line is not None
    assert problem.message.endswith("put a text that has a colon and a blank in it in quotes")


def test_a_body_that_takes_no_field_may_be_meant() -> None:
    text = GOOD.replace('"{prompt}"', "What is a weir?")

    assert load_config_text(text, "c.yaml", ["request.same_for_all=true"]).request is not None


def test_override_leaves_an_alias_of_the_same_value_alone() -> None:
    text = GOOD.replace("sink:", "retry: &r {attempts: 3}\nsink:").replace("attempts: 3", "attempts: 3, base_seconds: 1")

    assert load_config_text(text, "c.yaml", ["retry.attempts=4"]).retry == RetryConfig(attempts=4, base_seconds=1.0)


def test_all_problems_of_a_config_are_told_at_once_in_the_order_of_their_lines() -> None:
    text = """\
source: {pth: in.jsonl}
request:
  url: chat
  body: {a: "{x", b: .nan}
provider:
  base_urll: https://api.example.com/v1
  headers: {Authorization: Bearer abcdef, X-A: 3}
limits: {max_in_flight: 4.0, burst: true, window: 0}
retry: 3
sink: {path: out.jsonl, order: sorted}
retry: 4
"""

    assert problems_of(text, "limits.requests_per_second=-1", "x") == [
        "c.yaml:1: source.pth: unknown key, did you mean path?",
        "c.yaml:1: source.path: missing required key",
        f"c.yaml:3: request.url: {NO_PATH}, got 'chat'; the host comes from the config",
        "c.yaml:4: request.body.b: must be finite to be JSON, got .nan",
        problems_of(text)[4],
        "c.yaml:6: provider.base_urll: unknown key, did you mean base_url?",
        "c.yaml:7: provider.headers.X-A: must be text, got 3",
        f"c.yaml:7: provider.headers.Authorization: {NO_KEY}, or write {{env: NAME}} here",
        "c.yaml:8: limits.burst: must be an integer, got true",
        "c.yaml:8: limits.max_in_flight: must be an integer, got 4.0",
        "c.yaml:8: limits.window: must be >= 1, got 0",
        "c.yaml:9: retry: must be a mapping, got 3",
        "c.yaml:10: sink.order: must be one of input, completion; got 'sorted'",
        "c.yaml:11: retry: duplicate key, first on line 9",
        "--set x: must be KEY=VALUE with a dotted key, such as --set limits.max_in_flight=10",
        "--set limits.requests_per_second: must be > 0, got -1.0",
    ]  # fmt: skip
    assert problems_of(text)[4].startswith("c.yaml:4: request.body.a: ")


@pytest.mark.parametrize(
    "override, problem",
    [
        ('limits.max_in_flight="4"', "must be an integer, got '4'"),
        ("limits.max_in_flight=null", "must be an integer, got null"),
        ("limits.max_in_flight=[1]", "must be an integer, got a list"),
        ("limits.max_in_flight=0", "must be >= 1, got 0"),
        ("limits.requests_per_minute=.inf", "must be finite, got .inf"),
        ("limits.requests_per_minute=.nan", "must be finite, got .nan"),
        ("limits.requests_per_minute=0", "must be > 0, got 0.0"),
        ("limits.tokens_per_minute=12:30", "must be a number, got '12:30'"),
        ("timeouts.total_seconds=true", "must be a number, got true"),
        ("timeouts.idle_seconds=0", "must be > 0, got 0.0"),
        ("retry.attempts=0", "must be >= 1, got 0"),
        ("retry.cap_seconds=-1", "must be >= 0, got -1.0"),
        ("sink.order=inptu", "must be one of input, completion; got 'inptu', did you mean input?"),
        ("sink.shape=1", "must be one of batch, flat; got 1"),
        ("sink.path=-", 'must be a file, got "-"'),
        ("sink.path= ", "must be text, got null"),
        ('source.path=""', "must not be empty, got ''"),
        ("sink.path=in.jsonl", "is the source; results need a file of their own"),
        ("journal.path=out.jsonl", "is the source or the sink; the journal needs a file of its own"),
        ("limits.brust=1", "unknown key, did you mean burst?"),
        ("provider.requests_per_minute=1",
         "unknown key, did you mean provider.simulate.limits.requests_per_minute or limits.requests_per_minute?"),
        ("retry.zzz=1", "unknown key; known here: attempts, base_seconds, cap_seconds, patience_seconds, stop_after"),
        ("request.url=http://a/v1", f"{NO_PATH}, got 'http://a/v1'; the host comes from the config"),
        ("request.body=text", "must be a mapping, got 'text'"),
        ("provider.base_url=null", "missing required key; or write `simulate: {}` for the embedded provider"),
        ("provider.base_url=ftp://x", "'ftp://x' must start with http:// or https:// and name a host, such as https://api.example.com/v1"),
        ("provider.headers=[a]", "must be a mapping, got a list"),
    ],
)  # fmt: skip
def test_wrong_value_is_told_with_the_way_out(override: str, problem: str) -> None:
    assert problem_with(override) == f"--set {override.partition('=')[0]}: {problem}"


def test_override_does_not_lead_through_what_is_no_mapping() -> None:
    problem = problem_with("limits.burst=1", "limits.burst.x=1")

    assert problem == "--set limits.burst.x: cannot be set: a key on the way to it holds no mapping"


def test_override_that_is_no_assignment_is_not_shown_where_it_may_be_a_secret() -> None:
    assert problem_with("sk-proj-abcdefgh") == "--set: must be KEY=VALUE with a dotted key, such as --set limits.max_in_flight=10"


def test_row_that_is_no_request_needs_one() -> None:
    assert problem_with("source.path=in.csv.gz", "request=").startswith("--set request: missing required key: ")


def test_simulated_provider_of_a_file_is_its_settings_or_that_section_of_a_run(tmp_path: Path) -> None:
    alone, whole, other = (tmp_path / name for name in ("alone.yaml", "run.yaml", "other.yaml"))
    alone.write_text("seed: 7\nkeys: [{key: sk-a}]\n")
    whole.write_text("provider: {simulate: {seed: 8}}\nsink: {path: x}\n")
    other.write_text("provider: {base_url: http://x}\n")

    assert [load_simulate([], path).seed for path in (alone, whole, other)] == [7, 8, 0]
    assert load_simulate(["seed=9"], alone) == load_simulate(["seed=9", "keys=[{key: sk-a}]"])


def test_wrong_setting_in_a_list_of_a_simulated_provider_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("outages:\n  - {fault: http_502}\n  - {fault: sulk}\n")

    with pytest.raises(ConfigError, match=r"settings.yaml:3: outages\[1\].fault: must be connection_refused"):
        load_simulate([], path)


def test_simulated_provider_is_built_by_the_same_walk() -> None:
    simulate = load_config_text(
        GOOD,
        "c.yaml",
        ["provider.base_url=", "provider.simulate={latency: {distribution: pareto, median_seconds: 1}, models: [a], faults: {stall: 0.1}}"],
    ).provider.simulate

    assert simulate is not None
    assert simulate.latency.distribution is Distribution.PARETO
    assert simulate.models == ("a",)
    assert simulate.faults == {"stall": 0.1}


@pytest.mark.parametrize(
    "override, problem",
    [
        ("latency.median_seconds=-1", "--set latency.median_seconds: must be between 0 and 86400, got -1.0"),
        ("faults={http_429: 2}", "--set faults: faults.http_429: must be a share between 0 and 1, got 2.0"),
        ("latency={distribution: uniform, spread: 2}", "--set latency: latency.spread: must be between 0 and 1 for uniform, got 2.0"),
        ("models=gpt", "--set models: must be a list, got 'gpt'"),
        ("models=[1]", "--set models: models[0]: must be text, got 1"),
        ("script={'1': }", "--set script: script.1: {1} is a mapping without a value; put a template in quotes"),
        ("limits.kind=bucket", "--set limits.kind: must be one of fixed_window, sliding_window, token_bucket; got 'bucket'"),
    ],
)
def test_problem_of_the_simulated_provider_has_its_key(override: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_simulate([override])

    assert str(caught.value).split(", did you mean")[0] == problem


def test_simulated_provider_comes_from_overrides_alone() -> None:
    assert load_simulate([]) == SimulateConfig()
    assert load_simulate(["seed=3", "limits.requests_per_second=5"]).limits.requests_per_second == 5.0


@pytest.mark.parametrize("text", ["", "[]", "text", "source:\n"])
def test_config_that_is_none_misses_its_keys(text: str) -> None:
    assert all(problem.startswith("c.yaml:1: ") for problem in problems_of(text))


@pytest.mark.parametrize(
    "make, problem",
    [
        (lambda: LimitsConfig(max_in_flight=True), "LimitsConfig: max_in_flight: must be an integer, got true"),
        (lambda: LimitsConfig(burst=0), "LimitsConfig: burst: must be >= 1, got 0"),
        (lambda: LimitsConfig(requests_per_second=float("nan")), "LimitsConfig: requests_per_second: must be finite, got .nan"),
        (lambda: SinkConfig(path="a", order="input"), "SinkConfig: order: must be Order.INPUT or Order.COMPLETION, got 'input'"),  # type: ignore[arg-type]
        (lambda: ProviderConfig(base_url="https://a", headers={"a": 1}), "ProviderConfig: headers: must be text, got 1"),  # type: ignore[dict-item]
        (lambda: RequestConfig(url="/v1", body={"a": float("inf")}), "RequestConfig: body: must be finite to be JSON, got .inf"),
        (lambda: RequestConfig(url="/v1", body={"a": [{1: 2}]}), "RequestConfig: body: keys must be text, got 1"),  # type: ignore[dict-item]
        (lambda: RequestConfig(url="/v1", body={"a": b"x"}), "RequestConfig: body: must be JSON, got b'x'"),
        (lambda: PricesConfig(prompt_per_million=-1, output_per_million=0), "PricesConfig: prompt_per_million: must be >= 0, got -1"),
        (lambda: SourceConfig(path=3), "SourceConfig: path: must be text, got 3"),  # type: ignore[arg-type]
    ],
)
def test_config_built_in_python_is_held_to_the_same_rules(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()

    assert str(caught.value) == problem


def test_config_can_be_built_in_python() -> None:
    config = Config(source=SourceConfig(path="-"), provider=ProviderConfig(simulate=SimulateConfig()), sink=SinkConfig(path="out.jsonl"))

    assert replace(config, limits=LimitsConfig(max_in_flight=1)).limits.max_in_flight == 1


@pytest.mark.parametrize(
    "content, said",
    [
        (None, "No such file or directory; headrace init writes a config"),
        (b"a: \xff\n", "c.yaml:1: not UTF-8: byte 0xff"),
        (b"#" * 1_000_001, "is it a config?"),
    ],
)
def test_file_that_is_no_config_is_told(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "c.yaml"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError, match=said):
        load_config(file)


@pytest.mark.parametrize("name", ["prompts.jsonl", "rows.CSV", "rows.jsonl.gz", "data.parquet"])
def test_file_of_rows_in_place_of_a_config_is_told_with_the_way_out(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text('{"prompt": "What is a weir?"}\n')

    with pytest.raises(ConfigError, match=f"is a file of rows, not a config: headrace init --input .*{name} .* run-batch -i .*{name}"):
        load_config(file)


def test_config_that_is_named_after_its_rows_is_read(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv.yaml"
    file.write_text("source: {path: batch.jsonl}\nprovider: {simulate: {}}\nsink: {path: out.jsonl}\n")

    assert load_config(file).sink.path == str(tmp_path / "out.jsonl")


def test_byte_order_mark_is_no_part_of_a_config(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())

    assert load_config(file).provider.api_key_env == "EXAMPLE_API_KEY"

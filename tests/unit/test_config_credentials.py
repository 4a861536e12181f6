"""No credential stands in a config: headers, urls and bodies that hold one are refused, and it is shown nowhere."""

from __future__ import annotations

import pytest

from pipeline.config import (
    FromEnvironment,
    load_config_text,
)
from pipeline.errors import ConfigError
from tests.fakes.configs import GOOD, NO_KEY, problem_with


@pytest.mark.parametrize(
    "header, said",
    [
        ("Authorization: x", "api_key_env"),
        ("api-key: x", "api_key_env"),
        ("X-API-Key: x", "api_key_env"),
        ("cookie: x", "api_key_env"),
        ("x-note: sk-proj-abcdefgh", "api_key_env"),
        ("x-note: Bearer abcdef", "api_key_env"),
        ('x-note: "a\\r\\nb: c"', "must be printable ASCII on one line"),
        ('x-note: "a\\0"', "must be printable ASCII on one line"),
        ("x-note: é", "must be printable ASCII on one line"),
        ('"x note": a', "must be an HTTP header name"),
        ('"x-a\\nb": a', "must be an HTTP header name"),
        ("Content-Length: '3'", "frames the request"),
        ("X-Client-Request-Id: mine", "is set by headrace, differently for each attempt"),
        ("Helicone-Auth: abc", "or write {env: NAME} here"),
        ("CF-Access-Client-Secret: s", "or write {env: NAME} here"),
        ("x-goog-api-key: AIzaSyA12345", "or write {env: NAME} here"),
        ("x-a: {env: $NAME}", "without a dollar sign: NAME"),
        ("x-a: {env: sk-proj-abcdefgh}", "must be the name of an environment variable"),
        ("x-a: [a]", "must be text, got a list"),
        ("x-a: '1', X-A: '2'", "duplicate header"),
    ],
)
def test_header_that_is_dangerous_is_refused_without_being_shown(header: str, said: str) -> None:
    problem = problem_with(f"provider.headers={{{header}}}")

    assert said in problem
    assert "sk-proj" not in problem
    assert "abcdef" not in problem


@pytest.mark.parametrize("name", ["Idempotency-Key", "x-prompt-cache-key", "X-Routing-Key", "x-monkey", "X-Tokens"])
def test_header_that_only_sounds_like_a_credential_is_taken(name: str) -> None:
    assert load_config_text(GOOD, "c.yaml", [f"provider.headers={{{name}: run-17}}"]).provider.headers == {name: "run-17"}


def test_credential_of_a_gateway_comes_from_the_environment() -> None:
    config = load_config_text(GOOD, "c.yaml", ["provider.headers={Helicone-Auth: {env: HELICONE}}"])

    assert config.provider.headers == {"Helicone-Auth": FromEnvironment(env="HELICONE")}


IN_A_URL = f"{NO_KEY}, and the header that carries it in provider.api_key_header (at Google, x-goog-api-key)"


@pytest.mark.parametrize(
    "query",
    ["key=AIzaSyA1234567890abcdefghijklmnopqrstu", "api_key=abcdef", "subscription-key=abcdef", "v=1&access_token=abcdef",
     "x=sk-proj-abcdefgh", "x=AbCdEf0123456789AbCdEf0123456789", "x=AbCdEf0123456789AbCdEf012345678%3D", "key=%73k-abcdef",
     "sig=abcdef", "v=1&signature=abcdef", "X-Amz-Signature=abcdef", "X-Amz-Security-Token=abcdef", "X-Goog-Credential=abcdef",
     "accessToken=abcdef", "subscriptionKey=abcdef", "jwt=abcdef", "code=abcdef0123456789abcdef0123456789abcd=="],
)  # fmt: skip
@pytest.mark.parametrize("key, url", [("provider.base_url", "https://a.example/v1"), ("request.url", "/v1/x")])
def test_key_in_the_query_of_a_url_is_refused_without_being_shown(key: str, url: str, query: str) -> None:
    assert problem_with(f"{key}={url}?{query}") == f"--set {key}: {IN_A_URL}"


def test_other_queries_are_taken() -> None:
    text = "https://a.example/v1?api-version=2024-10-21&beta=true&cache_key=t7&page_token_size=3&monkey=1&design=x&code=de"

    assert load_config_text(GOOD, "c.yaml", [f"provider.base_url={text}"]).provider.base_url == text


@pytest.mark.parametrize(
    "body, place",
    [
        ("{api_key: abcdef}", "api_key"),
        ("{options: {auth: {access_token: abcdef}}}", "options.auth.access_token"),
        ("{tools: [{headers: {Authorization: abcdef}}]}", "tools[0].headers.Authorization"),
        ("{x: [a, sk-proj-abcdefghijklmnop]}", "x[1]"),
        ("{x: Bearer AIzaSyA1234567890abcdefghijklmnopqrstu}", "x"),
    ],
)
def test_key_in_the_request_body_is_refused_without_being_shown(body: str, place: str) -> None:
    problem = problem_with(f"request.body={body}")

    assert problem == f"--set request.body: request.body.{place}: {NO_KEY}"


@pytest.mark.parametrize(
    "body",
    [
        "{m: '{prompt}', max_tokens: 5, prompt_cache_key: tenant, api_key: '{key_of_the_row}'}",
        "{m: '{prompt} Explain what a Bearer token is, and why sk-abc is one.'}",
        "{m: '{prompt}', schema: {properties: {api_key: {type: string}, password: {type: string}}}, api_key: null}",
    ],
)
def test_body_that_only_talks_of_keys_is_taken(body: str) -> None:
    assert load_config_text(GOOD, "c.yaml", [f"request.body={body}"]).request is not None


A_KEY = "sk-proj-abcdefghijklmnop0123"


@pytest.mark.parametrize(
    "key",
    ["source.path", "sink.path", "journal.path", "cache.path", "provider.tls.ca", "provider.tls.key", "provider.unix_socket",
     "provider.http2", "limits.burst", "sink.order", "source.delimiter"],
)  # fmt: skip
@pytest.mark.parametrize("folder", ["", "/no/where/"])
def test_key_that_was_pasted_in_the_place_of_another_value_is_not_shown(key: str, folder: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config_text(GOOD, "c.yaml", ["provider.tls={}", "journal={}", "cache={}", f"{key}={folder}{A_KEY}"])

    assert A_KEY not in str(caught.value)
    assert "key" in str(caught.value)


@pytest.mark.parametrize("url", [f"https://a.example/{A_KEY} /v1", f"ftp://{A_KEY}.example/v1", f"https://a.example/v1#{A_KEY}"])
def test_key_elsewhere_in_a_url_that_is_refused_is_not_shown(url: str) -> None:
    assert "abcdefgh" not in problem_with(f"provider.base_url={url}")
    assert "abcdefgh" not in problem_with(f"request.url={url}")


VARIABLES = """\
source: {path: in.jsonl}
provider:
  base_url: https://a.example
  api_key_env: A_KEY
  headers:
    X-Gateway-Key: {env: B_KEY}
sink: {path: out.jsonl, order: sorted}
"""


def test_variables_that_are_not_set_are_told_with_all_other_problems_and_their_lines() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config_text(VARIABLES, "c.yaml", environment={})

    assert [str(problem) for problem in caught.value.problems] == [
        "c.yaml:4: provider.api_key_env: the environment variable A_KEY is not set: put the key of the provider in it",
        "c.yaml:6: provider.headers.X-Gateway-Key.env: the environment variable B_KEY is not set: put the value of this header in it",
        "c.yaml:7: sink.order: must be one of input, completion; got 'sorted'",
    ]


def test_variables_are_nobodys_business_where_nothing_is_sent() -> None:
    good = VARIABLES.replace("sorted", "input")

    assert load_config_text(good, "c.yaml").provider.api_key_env == "A_KEY"
    assert load_config_text(good, "c.yaml", ["provider.base_url=", "provider.simulate={}"], environment={}).provider.simulate is not None


def test_header_is_not_where_the_key_goes() -> None:
    problem = problem_with("provider.headers={x-mine: a}", "provider.api_key_header=X-Mine")

    assert problem == "--set provider.headers: provider.headers.x-mine: is where the key goes (provider.api_key_header); take it away"


def test_a_header_may_take_the_place_of_the_key_where_there_is_none() -> None:
    overrides = ["provider.headers={Authorization: {env: SIGNED}}", "provider.api_key_env="]

    assert load_config_text(GOOD, "c.yaml", overrides).provider.headers == {"Authorization": FromEnvironment(env="SIGNED")}


@pytest.mark.parametrize("key", ["sk-abcdefghijkl", "AbCdEf0123456789AbCdEf0123456789", "my key", ""])
def test_key_in_place_of_a_name_is_refused_without_being_shown(key: str) -> None:
    problem = problem_with(f'provider.api_key_env="{key}"')

    assert "must be the name of an environment variable" in problem
    assert not key or key not in problem


def test_repr_shows_no_header_value() -> None:
    config = load_config_text(
        GOOD, "c.yaml", ["provider.headers={x-note: hush}", "provider.simulate={api_key: quiet}", "provider.base_url="]
    )

    assert "hush" not in repr(config)
    assert "quiet" not in repr(config)
    assert "x-note" in repr(config)

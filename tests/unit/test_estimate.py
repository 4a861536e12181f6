import json

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.rows.estimate import MEDIA_TOKENS, estimate_tokens


def test_estimate_counts_four_ascii_bytes_as_a_token_and_rounds_up() -> None:
    assert [estimate_tokens(b"x" * size, None) for size in (0, 1, 4, 5, 400)] == [0, 1, 1, 2, 100]


def test_estimate_adds_the_longest_answer_of_every_choice() -> None:
    assert estimate_tokens(b"x" * 40, 500) == 510
    assert estimate_tokens(b"x" * 40, 500, choices=3) == 1510


def test_estimate_counts_a_kana_as_a_token_and_an_escaped_one_as_more() -> None:
    text = "こんにちは"

    plain = estimate_tokens(text.encode(), None)
    escaped = estimate_tokens(json.dumps(text)[1:-1].encode(), None)

    assert plain == 5
    assert plain <= escaped <= 2 * plain


def test_estimate_counts_an_image_as_an_image_and_not_as_its_bytes() -> None:
    body = b'{"url": "data:image/png;base64,' + b"iVBORw0KGgo/+=" * 50_000 + b'"}'

    assert MEDIA_TOKENS < estimate_tokens(body, None) < MEDIA_TOKENS + 20


def test_estimate_of_senseless_settings_is_that_of_the_body() -> None:
    assert estimate_tokens(b"x" * 8, -5, choices=0) == 2
    assert estimate_tokens(b"x" * 8, 10, choices=0) == 12


def test_estimate_of_a_number_of_400_digits_is_still_a_number_to_count_with() -> None:
    assert 10**9 <= estimate_tokens(b"", 10**400) < estimate_tokens(b"", 10**400, choices=10**400) < 1e300


@given(body=st.binary(max_size=300), more=st.binary(max_size=50), max_tokens=st.none() | st.integers(0, 10_000), choices=st.integers(1, 5))
def test_estimate_never_shrinks_as_a_request_grows(body: bytes, more: bytes, max_tokens: int | None, choices: int) -> None:
    estimate = estimate_tokens(body, max_tokens, choices)

    assert estimate >= (max_tokens or 0) * choices + len(body) / 4 - 1
    assert estimate_tokens(body + more, max_tokens, choices) >= estimate
    assert estimate_tokens(body, (max_tokens or 0) + 1, choices) > estimate - 1

import json
import random
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.rows.estimate import MEDIA_BYTES, MEDIA_TOKENS, Calibration, estimate_tokens, prompt_tokens


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


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "QUJD" * 350_000, "format": "wav"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD" * 350_000}},
        {"images": ["QUJD" * 350_000]},
        {"inlineData": {"mimeType": "audio/mp3", "data": "QU-_" * 350_000}},
        {"url": "data:image/svg+xml;charset=utf-8;base64," + "QUJD" * 350_000},
        {"data": "QUJDQUJD/+\r\n" * 100_000},
    ],
)
def test_estimate_counts_base64_as_media_whatever_field_it_stands_in(part: object) -> None:
    assert MEDIA_TOKENS < estimate_tokens(json.dumps(part).encode(), None) < MEDIA_TOKENS + 60


@pytest.mark.parametrize("text", ["word " * 20_000, "言葉" * 20_000, "a.b.c" * 20_000, "x" * 100_000])
def test_estimate_counts_a_long_text_as_text(text: str) -> None:
    body = json.dumps({"content": text}, ensure_ascii=False).encode()

    assert estimate_tokens(body, None) > len(body) // 4


@pytest.mark.parametrize("size", [1_000, 100_000])
def test_estimate_counts_a_long_text_whose_characters_are_all_escaped_as_text(size: int) -> None:
    body = json.dumps({"content": ("言葉と文" * size)[:size]}).encode()

    assert estimate_tokens(body, None) == -(-len(body) // 4)


@pytest.mark.parametrize("odd", [b" ", b".", b"\\u8a00"])
@pytest.mark.parametrize("at", [0, 30, 3_000, 9_937, 9_990])
def test_estimate_looks_at_all_of_a_text_and_not_at_its_start_alone(odd: bytes, at: int) -> None:
    run = b"QUJDREVG" * 1250
    text = run[:at] + (odd * 7000)[:7000] + run[at:]

    assert estimate_tokens(b'{"content": "%b"}' % text, None) > len(text) // 4


def test_estimate_finds_several_pieces_of_base64_wherever_they_stand() -> None:
    pieces = [{"data": "QUJD" * (MEDIA_BYTES // 4 + 17 * number)} for number in range(20)]

    assert 20 * MEDIA_TOKENS < estimate_tokens(json.dumps(pieces).encode(), None) < 20 * MEDIA_TOKENS + 200


def test_estimate_counts_a_short_run_of_characters_as_text_and_never_as_more_than_media() -> None:
    sizes = (100, MEDIA_BYTES - 8, MEDIA_BYTES, 10 * MEDIA_BYTES)

    counted = [estimate_tokens(json.dumps(("ABCDEFGH" * size)[:size]).encode(), None) for size in sizes]

    assert counted == sorted(counted)
    assert counted[-1] == MEDIA_TOKENS


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


def _rows(seed: int, true_factor: float) -> Iterator[tuple[int, int]]:
    """Estimates and real counts of rows whose language makes the estimate wrong by one factor, and each row by a little more."""
    draw = random.Random(seed)
    while True:
        estimate = int(draw.lognormvariate(5, 0.8)) + 5
        yield estimate, max(1, int(estimate * true_factor * draw.lognormvariate(0, 0.15)))


@given(seed=st.integers(0, 1000), true_factor=st.floats(0.4, 2.5))
def test_after_100_answers_estimates_add_up_to_what_is_charged(seed: int, true_factor: float) -> None:
    calibration, rows = Calibration(), _rows(seed, true_factor)
    for estimate, real in islice(rows, 100):
        calibration.learn(estimate, real)

    estimated = charged = 0
    for estimate, real in islice(rows, 300):
        estimated += calibration.expected(estimate)
        charged += real
        calibration.learn(estimate, real)

    assert 0.9 < estimated / charged < 1.1


def test_a_reserve_covers_nearly_every_row_and_not_much_more() -> None:
    calibration, rows = Calibration(), _rows(7, 2.0)
    covered = reserved = charged = 0
    for number, (estimate, real) in enumerate(islice(rows, 2100)):
        if number >= 100:
            covered += real <= calibration.reserve(estimate)
            reserved += calibration.reserve(estimate)
            charged += real
        calibration.learn(estimate, real)

    assert covered > 0.93 * 2000
    assert reserved < 1.4 * charged


def test_a_model_of_which_nothing_is_known_is_estimated_as_it_is() -> None:
    calibration = Calibration()

    calibration.learn(0, 5)
    calibration.learn(5, 0)

    assert (calibration.expected(100), calibration.reserve(100), calibration.answers) == (100, 100, 0)


def test_what_was_learned_follows_a_change_of_the_rows() -> None:
    calibration = Calibration()
    for _ in range(500):
        calibration.learn(100, 50)
    for _ in range(200):
        calibration.learn(100, 200)

    assert 190 <= calibration.expected(100) <= 200


def test_first_answers_weigh_as_much_as_the_guess_and_later_ones_less() -> None:
    calibration = Calibration()

    factors = []
    for real in (200, 200, 200):
        calibration.learn(100, real)
        factors.append(calibration.factor)

    assert factors == [pytest.approx(1.5), pytest.approx(5 / 3), pytest.approx(1.75)]
    assert calibration.answers == 3


def test_answer_of_one_token_is_learned_from() -> None:
    calibration = Calibration()

    calibration.learn(3, 1)

    assert calibration.factor == pytest.approx(2 / 3)


def test_answer_that_just_fits_its_reserve_is_covered() -> None:
    calibration = Calibration(estimated=100.0, real=100.0, answers=100, spread=1.2)

    calibration.learn(100, 120)

    assert calibration.spread < 1.2


def test_a_picture_counts_for_itself_and_leaves_nothing_behind() -> None:
    picture = b'"data:image/png;base64,AAAA"'

    assert estimate_tokens(b'{"a":%b,"bb":1}' % picture, None) == estimate_tokens(b'{"a":,"bb":1}', None) + MEDIA_TOKENS
    assert estimate_tokens(b"[%b,%b]" % (picture, picture), None) == estimate_tokens(b"[,]", None) + 2 * MEDIA_TOKENS


@pytest.mark.parametrize("before", [b"", b"a;b" * 200, b'"x;base64,y z" ' * 3, b'{"type": "data:", "x": 1};base64,'])
@pytest.mark.parametrize("pieces", [1, 2, 70])
def test_every_data_url_counts_as_media_whatever_stands_between(before: bytes, pieces: int) -> None:
    media = b'"data:image/png;base64,' + b"iVBORw0KGgo/" * 1_000 + b'"'

    counted = prompt_tokens(b"".join([before + media] * pieces))

    assert counted == prompt_tokens(before * pieces) + pieces * MEDIA_TOKENS


@pytest.mark.parametrize(
    "text", [b'"data:image/png;base64,', b'"see data:image/png;base64, and so on"', b'"data:x" ;base64,"', b'"data:a b;base64,c"']
)
def test_text_that_speaks_of_data_urls_counts_as_text(text: bytes) -> None:
    assert prompt_tokens(text) == -(-len(text) // 4)

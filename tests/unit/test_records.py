"""What users hold of a row: frozen, compared by identity, and usable with copy, pickle, msgspec and attrs."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import attrs
import msgspec
import pytest

from pipeline import Failure, FailureKind, Job, Success, Usage

REPLY = b'{"choices":[{"message":{"content":"hi"}}]}'
SUCCESS = Success(1, "a", 200, "req", REPLY, Usage(1, 2, 3), 1, 0.5, "stop")
FAILURE = Failure(2, "b", FailureKind.HTTP, "no such model", 404, attempts=1)
JOB = Job(3, "c", "POST", "/v1/chat/completions", b"{}", 10, 4)
RECORDS = pytest.mark.parametrize("record", [SUCCESS, FAILURE, JOB], ids=["success", "failure", "job"])


def values(record: Any) -> list[Any]:
    return [getattr(record, name) for name in record.__struct_fields__]


@RECORDS
def test_a_record_is_equal_to_itself_alone(record: Any) -> None:
    assert record != copy.copy(record)
    assert {record: 1}[record] == 1


@RECORDS
def test_copies_say_the_same(record: Any) -> None:
    for other in (copy.copy(record), copy.deepcopy(record), pickle.loads(pickle.dumps(record))):
        assert values(other) == values(record)
        assert repr(other) == repr(record)


@RECORDS
def test_msgspec_and_attrs_give_the_same_dictionary_and_the_same_changed_copy(record: Any) -> None:
    assert attrs.has(type(record))
    assert attrs.asdict(record) == msgspec.structs.asdict(record)
    changed: Any = attrs.evolve(record, index=9)
    assert values(changed) == values(msgspec.structs.replace(record, index=9)) != values(record)
    assert [each.name for each in attrs.fields(type(record))] == list(record.__struct_fields__)


@pytest.mark.parametrize("outcome", [SUCCESS, FAILURE], ids=["success", "failure"])
def test_an_outcome_cannot_be_changed(outcome: Any) -> None:
    with pytest.raises(AttributeError):
        outcome.index = 7


def test_an_outcome_shows_itself_in_a_few_words() -> None:
    assert (repr(SUCCESS), SUCCESS.ok, SUCCESS.content, SUCCESS.error) == ("<Success 1 'a': 'hi'>", True, "hi", None)
    assert (repr(FAILURE), FAILURE.ok, FAILURE.content, FAILURE.error_code) == (
        "<Failure 2 'b': 'http_404: no such model'>",
        False,
        None,
        "http_404",
    )

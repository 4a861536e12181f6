"""Errors as OpenAI's API answers them, so that its clients raise the right exception.

`{"error": {"message", "type", "param", "code"}}` with all four keys. The official clients send a request again after 408, 409, 429 and
500 or more, unless the answer says `x-should-retry: false`.
"""

from __future__ import annotations

INVALID_REQUEST = "invalid_request_error"


class ApiError(Exception):
    """A request that cannot be answered as asked. status: of the HTTP response. retry: whether asking again may help."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str = INVALID_REQUEST,
        retry: bool = False,
    ) -> None:
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.kind = kind
        self.retry = retry
        super().__init__(message)

    def body(self) -> dict[str, object]:
        """The JSON of the answer."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def missing(param: str) -> ApiError:
    """A required parameter is not there."""
    return ApiError(400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def wrong_type(param: str, expected: str, got: object) -> ApiError:
    """A parameter is of another type than it should be."""
    return ApiError(
        400, f"Invalid type for '{param}': expected {expected}, but got {json_type(got)} instead.", param=param, code="invalid_type"
    )


def wrong_value(param: str, message: str) -> ApiError:
    """A parameter has a value that is not taken."""
    return ApiError(400, message, param=param, code="invalid_value")


def no_file(name: str, *, param: str = "id", status: int = 404) -> ApiError:
    """A file that does not exist, or not any more."""
    return ApiError(status, f"No such File object: {name[:100]}", param=param)


def no_batch(name: str) -> ApiError:
    """A batch that does not exist."""
    return ApiError(404, f"No batch found with id '{name[:100]}'.")


def json_type(value: object) -> str:
    """What JSON calls the type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        ((int, float), "a number"),
        (str, "a string"),
        (list, "an array"),
        (dict, "an object"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), type(value).__name__)

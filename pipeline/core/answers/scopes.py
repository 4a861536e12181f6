"""Whom a failure concerns: this row alone, or everybody who uses the same key, model or server. Pure tables and one function.

Codes are asked before words, and words only where a provider is known to have nothing better: a message may quote the
request, so single words prove nothing.
Source: provider references and public reports, each named beside its entry.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.patterns import later
from pipeline.records import Scope

if TYPE_CHECKING:
    from pipeline.core.answers.error_bodies import ErrorBody

UNAUTHORIZED, PAYMENT_REQUIRED, FORBIDDEN, NOT_FOUND = 401, 402, 403, 404
METHOD_NOT_ALLOWED, PROXY_AUTH, REQUEST_TIMEOUT, UNPROCESSABLE, TOO_MANY_REQUESTS = 405, 407, 408, 422, 429
REDIRECT, CLIENT_ERROR, SERVER_ERROR = 300, 400, 500
REFUSALS = frozenset({UNAUTHORIZED, PAYMENT_REQUIRED, FORBIDDEN})

# Money or quota is used up. Retrying these burns hours (langchainjs#1929, qwen-code#7841).
QUOTA_CODES = frozenset(
    {
        "insufficient_quota",  # OpenAI
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_not_active",
        "billing_hard_limit_reached",
        "enforced_spend_limit_reached",  # Anthropic, in error.details of a rate_limit_error
        "billing_error",  # Anthropic, with a 402
        "exceeded_current_quota_error",  # Moonshot
        "insufficient_user_quota",  # new-api
        "1113",  # Zhipu: the balance is used up
        "arrearage",  # DashScope, as 400
        "base_resp:1008",  # MiniMax: insufficient balance
        "error_code:17",  # Baidu: daily limit
        "error_code:19",  # Baidu: total limit
    },
)
RATE_LIMIT_CODES = frozenset(
    {
        "rate_limit",
        "rate_limit_exceeded",
        "rate_limit_error",
        "rate_limit_reached_error",  # Moonshot
        "too_many_requests",
        "toomanyrequests",
        "toomanyrequestsexception",  # AWS
        "requestlimitexceeded",
        "resource_exhausted",  # Google
        "ratelimitreached",  # GitHub Models
        "1302",  # Zhipu: too many at once
        "1303",  # Zhipu: too frequent
        "1305",  # Zhipu: too many for the model
        "base_resp:1002",  # MiniMax: rate
        "base_resp:1039",  # MiniMax: tokens per minute
        "error_code:18",  # Baidu: queries per second
        "error_code:336501",  # Baidu: requests per minute
        "error_code:336502",  # Baidu: tokens per minute
    },
)
KEY_CODES = frozenset(
    {
        "api_key_invalid",  # Google, as 400
        "api_key_expired",
        "invalid_api_key",
        "invalid_authentication_error",  # Moonshot
        "authentication_error",  # Anthropic
        "invalidapikey",  # DashScope
        "account_deactivated",
        "unrecognizedclientexception",  # AWS
        "expiredtokenexception",
        "invalidsignatureexception",
        "base_resp:1004",  # MiniMax
        "base_resp:2049",
        "error_code:110",  # Baidu: access token
        "error_code:111",
    },
)
SETUP_CODES = frozenset({"model_not_found", "deploymentnotfound", "modelnotfound", "model_not_available", "unknown_model", "invalid_model"})
SERVER_CODES = frozenset({"overloaded_error", "engine_overloaded_error", "overloaded", "server_error", "api_error", "unavailable"})
REQUEST_CODES = frozenset(
    {
        "invalid_request_error",
        "invalid_request",
        "bad_request",
        "context_length_exceeded",
        "invalid_argument",
        "invalid_prompt",  # the Responses API, with everything about images: the row's own
        "content_policy_violation",
        "content_filter",
        "image_content_policy_violation",
        *("datainspectionfailed", "data_inspection_failed", "invalidparameter"),  # DashScope
        "validationexception",  # Bedrock
    },
)
KNOWN_CODES = QUOTA_CODES | RATE_LIMIT_CODES | KEY_CODES | SETUP_CODES | SERVER_CODES | REQUEST_CODES
THROTTLING_PREFIX = "throttling"  # Bedrock ThrottlingException, DashScope Throttling.RateQuota …
DAILY = "perday"  # Google: quotaId GenerateRequestsPerDayPerProjectPerModel

_PARALLEL = later(r"parallel[ _]requests?|concurren(?:t|cy)|并发", re.IGNORECASE)
_THROTTLED = later(r"ThrottlingException|TooManyRequestsException|rate limit (?:exceeded|reached)|too many requests", re.IGNORECASE)
_NO_MONEY = later(
    r"credit balance is too low|(?:reached|exceeded) your specified (?:api )?usage limits|used all (?:of )?(?:your |its )?available credits"
    r"|(?:monthly |usage )?spend(?:ing)? limit|insufficient (?:account )?(?:balance|credits?|funds|quota)|out of credits"
    r"|balance (?:is )?(?:too low|insufficient|not enough|exhausted|used up)|exceeded your current quota"
    r"|exceeded (?:the |your )?monthly (?:included )?credits"
    r"|account (?:is |has been )?(?:in arrears|suspended|overdue)|account is in good standing|billing (?:is )?(?:not active|hard limit)"
    r"|please (?:recharge|top[ -]up)|余额不足|欠费",
    re.IGNORECASE,
)
_BAD_KEY = later(
    r"(?:invalid|incorrect|wrong|missing|expired) api[ _-]?key|api[ _-]?key (?:is )?(?:not valid|invalid|expired|not found|missing)",
    re.IGNORECASE,
)
_NO_MODEL = later(
    r"\b(?:model|deployment)\b.{0,200}(?:does not exist|not found|not exist|is not available|not supported|no longer available)"
    r"|(?:unknown|no such|invalid) (?:model|deployment)|not a valid model",
    re.IGNORECASE | re.DOTALL,
)
_ROWS_OWN_THING = later(r"\b(?:file|image|response|thread|assistant|conversation|batch|item|cached ?content)s?\b", re.IGNORECASE)
WORDS = 1000  # characters of a message that are looked at


PASSING_STATUSES = frozenset({REQUEST_TIMEOUT, 409, 425, TOO_MANY_REQUESTS})  # another attempt may succeed, as from 500 on


def scope_of(status: int, error: ErrorBody, *, wait_told: bool) -> Scope:
    """Whom a failure of this status concerns. wait_told: the answer says when to come back."""
    words = (error.message or "")[:WORDS]
    return _by_code(status, error, words) or _by_words(status, words, wait_told=wait_told) or _by_status(status, words)


def _by_code(status: int, error: ErrorBody, words: str) -> Scope | None:
    codes = error.codes
    if codes & QUOTA_CODES or (status == TOO_MANY_REQUESTS and any(DAILY in code for code in codes)):
        return Scope.QUOTA
    if "max_parallel_requests" in codes:
        return Scope.PARALLEL
    if codes & KEY_CODES:
        return Scope.KEY
    if status != UNAUTHORIZED and (codes & RATE_LIMIT_CODES or any(code.startswith(THROTTLING_PREFIX) for code in codes)):
        return Scope.PARALLEL if _PARALLEL.search(words) else Scope.THROTTLE
    if codes & SETUP_CODES and status < SERVER_ERROR:
        return Scope.SETUP
    return None


def _by_words(status: int, words: str, *, wait_told: bool) -> Scope | None:
    if status in (CLIENT_ERROR, FORBIDDEN) and _BAD_KEY.search(words):
        return Scope.KEY
    # A 402 is left out: a relay says it of a row whose answer could cost more than is left (OpenRouter).
    if (status in (CLIENT_ERROR, FORBIDDEN) or (status == TOO_MANY_REQUESTS and not wait_told)) and _NO_MONEY.search(words):
        return Scope.QUOTA
    if status in (CLIENT_ERROR, FORBIDDEN) and _THROTTLED.search(words):
        return Scope.THROTTLE
    if status == TOO_MANY_REQUESTS and _PARALLEL.search(words):
        return Scope.PARALLEL
    return None


def _by_status(status: int, words: str) -> Scope:
    if status == TOO_MANY_REQUESTS:
        return Scope.THROTTLE
    if status >= SERVER_ERROR or status == REQUEST_TIMEOUT:
        return Scope.SERVER
    if status in REFUSALS:
        return Scope.KEY
    if status in (METHOD_NOT_ALLOWED, PROXY_AUTH) or status < CLIENT_ERROR:
        return Scope.SETUP
    if status == NOT_FOUND:
        return Scope.ROW if _ROWS_OWN_THING.search(words) and not _NO_MODEL.search(words) else Scope.SETUP
    names_model = _NO_MODEL.match(words.removeprefix("The "))
    return Scope.SETUP if status in (CLIENT_ERROR, UNPROCESSABLE) and names_model else Scope.ROW

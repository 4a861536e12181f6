"""How each provider refuses a key, a model or a spent quota: status and body in its own words. Pure.

Source: the providers' API references and public reports of their error bodies; new-api and xAI by reports alone. A vendor that has no
words of its own for a cause uses OpenAI's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.simulate.choices import Vendor
from pipeline.simulate.faults import Fault
from pipeline.simulate.reply import Headers, Reply, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

DAILY_WAIT_SECONDS = 6 * 3600

Body = dict[str, Any]
Words = tuple[int, "Body | Callable[[str], Body]"]  # the status, and the body or what makes it of the model's name


def _openai(message: str, kind: str, code: str | None) -> Body:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _anthropic(kind: str, message: str, **more: Any) -> Body:
    return {"type": "error", "error": {"type": kind, "message": message, **more}}


def _google(code: int, status: str, message: str, *details: Body) -> Body:
    kept = [{**detail, "@type": f"type.googleapis.com/google.rpc.{detail['@type']}"} for detail in details]
    return {"error": {"code": code, "message": message, "status": status, "details": kept}}


def _no_model(model: str) -> str:
    return f"The model `{model}` does not exist or you do not have access to it."


GEMINI_KEY = {"@type": "ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
GEMINI_DAY = {"@type": "QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}
GEMINI_WAIT = {"@type": "RetryInfo", "retryDelay": f"{DAILY_WAIT_SECONDS}s"}

WRONG_KEY: dict[Vendor, Words] = {
    Vendor.OPENAI: (401, _openai("Incorrect API key provided", "invalid_request_error", "invalid_api_key")),
    Vendor.AZURE: (401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key or wrong API endpoint."}}),
    Vendor.ANTHROPIC: (401, _anthropic("authentication_error", "invalid x-api-key")),
    Vendor.GEMINI: (400, _google(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", GEMINI_KEY)),
    Vendor.VLLM: (401, {"error": "Unauthorized"}),
    Vendor.MOONSHOT: (401, {"error": {"message": "Invalid Authentication", "type": "invalid_authentication_error"}}),
    Vendor.ZHIPU: (401, {"error": {"code": "1000", "message": "身份验证失败"}}),
    Vendor.DEEPSEEK: (401, _openai("Authentication Fails: your api key is invalid", "authentication_error", "invalid_request_error")),
    Vendor.XAI: (400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided"}),
    Vendor.NEW_API: (401, {"error": {"code": "", "message": "无效的令牌", "type": "new_api_error"}}),
}
MODEL_NOT_FOUND: dict[Vendor, Words] = {
    Vendor.OPENAI: (404, lambda model: _openai(_no_model(model), "invalid_request_error", "model_not_found")),
    Vendor.AZURE: (404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}),
    Vendor.ANTHROPIC: (404, lambda model: _anthropic("not_found_error", f"model: {model}")),
    Vendor.GEMINI: (404, lambda model: _google(404, "NOT_FOUND", f"models/{model} is not found for API version v1beta")),
    Vendor.VLLM: (404, lambda model: {"object": "error", "message": _no_model(model), "type": "NotFoundError", "param": None, "code": 404}),
    Vendor.DEEPSEEK: (400, _openai("Model Not Exist", "invalid_request_error", "invalid_request_error")),
    Vendor.NEW_API: (503, lambda model: {"error": {"code": "model_not_found", "message": f"无可用渠道: {model}", "type": "new_api_error"}}),
}
QUOTA_EXHAUSTED: dict[Vendor, Words] = {
    Vendor.OPENAI: (429, _openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota")),
    Vendor.ANTHROPIC: (400, _anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API.")),
    Vendor.MOONSHOT: (
        429,
        {"error": {"message": "Your account is suspended due to insufficient balance", "type": "exceeded_current_quota_error"}},
    ),
    Vendor.ZHIPU: (429, {"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}}),
    Vendor.DASHSCOPE: (400, _openai("Access denied, please make sure your account is in good standing.", "Arrearage", "Arrearage")),
    Vendor.DEEPSEEK: (402, _openai("Insufficient Balance", "unknown_error", "invalid_request_error")),
    Vendor.XAI: (429, {"code": "Some resource has been exhausted", "error": "Your team has used all available credits."}),
    Vendor.NEW_API: (403, {"error": {"code": "insufficient_user_quota", "message": "用户额度不足", "type": "new_api_error"}}),
}
SPEND_LIMIT: dict[Vendor, Words] = {
    Vendor.OPENAI: (429, _openai("The organization has reached its spend limit", "rate_limit_error", "organization_spend_limit_exceeded")),
    Vendor.ANTHROPIC: (
        429,
        _anthropic(
            "rate_limit_error", "This organization's spend limit is reached", details={"error_code": "enforced_spend_limit_reached"}
        ),
    ),
}
DAILY_QUOTA: dict[Vendor, Words] = {
    Vendor.OPENAI: (
        429,
        _openai("Rate limit reached on requests per day (RPD). Please try again in 6h0m0s.", "requests", "rate_limit_exceeded"),
    ),
    Vendor.ANTHROPIC: (429, _anthropic("rate_limit_error", "This request would exceed your organization's daily limit")),
    Vendor.GEMINI: (429, _google(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", GEMINI_DAY, GEMINI_WAIT)),
}

TABLES = {
    Fault.WRONG_KEY: WRONG_KEY,
    Fault.MODEL_NOT_FOUND: MODEL_NOT_FOUND,
    Fault.QUOTA_EXHAUSTED: QUOTA_EXHAUSTED,
    Fault.SPEND_LIMIT: SPEND_LIMIT,
    Fault.DAILY_QUOTA: DAILY_QUOTA,
}


def in_words_of(vendor: Vendor, cause: Fault, model: str = "") -> Reply:
    """The refusal of a cause, one of TABLES. model: the one that the request asked for."""
    table = TABLES[cause]
    speaker = Vendor.GEMINI if vendor is Vendor.GEMINI_LIST else vendor
    status, words = table.get(speaker, table[Vendor.OPENAI])
    body = words(model) if callable(words) else words
    headers: Headers = []
    if cause is Fault.DAILY_QUOTA and speaker is not Vendor.GEMINI:
        headers = [("retry-after", str(DAILY_WAIT_SECONDS))]
    return json_reply(status, [body] if vendor is Vendor.GEMINI_LIST else body, headers)

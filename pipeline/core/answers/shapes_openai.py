"""The shapes of OpenAI's APIs: chat and plain completions, and Responses, with what relays and servers add to them."""

from __future__ import annotations

import msgspec

from pipeline.core.answers.error_bodies import says_nothing
from pipeline.core.answers.parts import (
    BROKEN_OFF,
    NULL,
    Object,
    Reading,
    as_text,
    finish,
    first_items_of,
    has_no_text,
    is_list,
    is_object,
    is_text,
    joined,
    nothing_said,
    object_of,
    objects_of,
    one_or_list,
    place_of,
    present,
    says_more,
    text_of,
)

ERROR = "error"
NAMES = frozenset({"role", "content", "id", "type", "name", "object", "index"})  # keys of a message that are not its content
NAMES_OF_CALLS = frozenset({"id", "type", "index"})
# Keys that are names, times and counts, or that repeat what another one says.
PLAIN_CHOICE = frozenset(
    {"index", "message", "text", "finish_reason", "native_finish_reason", "stop_reason", "matched_stop", "content_filter_results", "usage"}
)
PLAIN_MESSAGE = frozenset({"role", "content"})
PLAIN_TEXT = frozenset({"type", "text"})
PLAIN_ITEM = frozenset({"id", "type", "role", "status", "content"})
WAITING = frozenset({"queued", "in_progress"})  # of a response that was asked for in the background
PASSING_CODES = frozenset({"server_error", "rate_limit_exceeded", "vector_store_timeout"})  # every other one is of the request
EMPTY = msgspec.Raw(b'""')
REASONING = ("reasoning_content", "reasoning", "thinking")


def read_choices(reply: Object) -> Reading:
    """Chat completions and plain completions. One odd choice among several costs only itself."""
    choices = objects_of(reply["choices"])
    if len(choices) > 1:
        choices.sort(key=lambda choice: place_of(choice.get("index")))
    answers = [choice for choice in choices if _is_answer(choice)]
    if not answers:
        return _no_choice(reply["choices"], choices)
    if all(_says_nothing(choice) for choice in answers):
        return nothing_said("a message with nothing in it", finish(answers[0].get("finish_reason")))
    read = [_read_choice(choice) for choice in choices]
    complete = all(whole for _, whole in read)
    usage = next((choice["usage"] for choice in choices if is_object(choice.get("usage", NULL))), NULL)  # Moonshot
    return Reading(one_or_list([content for content, _ in read]), complete, finish(answers[0].get("finish_reason")), usage)


def _is_answer(choice: Object) -> bool:
    """Whether a choice holds what it promises: a message or a text, and no error."""
    if text_of(choice.get("finish_reason")) in BROKEN_OFF or _failed(choice):
        return False
    if "text" in choice and is_text(choice["text"]):
        return True
    message = choice.get("message")
    if message is None or not is_object(message) or not (present(message) or present(choice.get("finish_reason"))):
        return False
    content = object_of(message).get("content", NULL)
    if is_list(content):
        return not present(content) or any(map(_is_part, objects_of(content))) or any(map(is_text, first_items_of(content)))
    return content == NULL or is_text(content)


def _is_part(part: Object) -> bool:
    """Whether an element of a content is a part of one: it has a type, or a text."""
    return (is_text(part.get("type", NULL)) or "text" in part) and not has_no_text(part)


def _says_nothing(choice: Object) -> bool:
    """Whether a message has neither a text, which may be empty, nor calls of tools, a refusal or anything else."""
    if "message" not in choice:
        return False
    message = object_of(choice["message"])
    content = message.get("content", NULL)
    if is_text(content) or present(content):
        return False
    more = dict(message)
    if not any(says_more(call, NAMES_OF_CALLS) for call in objects_of(message.get("tool_calls"))):
        more.pop("tool_calls", None)
    if not is_text(message.get("refusal", NULL)):
        more.pop("refusal", None)
    return not says_more(more, NAMES)


def _failed(choice: Object) -> bool:
    return ERROR in choice and not says_nothing(choice[ERROR])


def _no_choice(raw: msgspec.Raw, choices: list[Object]) -> Reading:
    for choice in choices:
        if _failed(choice):
            return Reading(problem="an error in its choice", error=choice[ERROR])
    for choice in choices:
        if (reason := text_of(choice.get("finish_reason"))) in BROKEN_OFF:
            return Reading(problem=f'finish_reason "{reason}"')
    if choices:
        return Reading(problem="choices that hold no answer")
    return Reading(problem="no choices" if is_list(raw) else f"choices: {bytes(raw)[:20].decode('utf-8', 'replace')}")


def _read_choice(choice: Object) -> tuple[msgspec.Raw, bool]:
    """The content of a choice, and whether it is all that the choice says."""
    if "message" not in choice:
        return choice.get("text", NULL), not says_more(choice, PLAIN_CHOICE)
    message = object_of(choice["message"])
    content, whole = _read_message(message)
    return content, whole and not says_more(choice, PLAIN_CHOICE)


def _read_message(message: Object) -> tuple[msgspec.Raw, bool]:
    content = message.get("content", NULL)
    whole = not says_more(message, PLAIN_MESSAGE)
    if is_text(content):
        return (content if whole or content != EMPTY else _instead_of_text(message) or content), whole
    if is_list(content):  # Mistral: text and thinking as parts; DashScope: parts without a type
        parts = objects_of(content)
        texts = [text_of(part.get("text")) for part in parts if text_of(part.get("type")) in ("text", None) and "text" in part]
        plain = len(texts) == len(first_items_of(content)) and not any(says_more(part, PLAIN_TEXT) for part in parts)
        return joined(texts) if texts else content, whole and plain
    return _instead_of_text(message) or _thoughts(message), whole


def _instead_of_text(message: Object) -> msgspec.Raw | None:
    """What stands for the text where there is none: calls of tools, a refusal, or what was said aloud."""
    if calls := objects_of(message.get("tool_calls")):
        return as_text(calls)
    if present(message.get("function_call")):
        return as_text([object_of(message["function_call"])])
    if present(message.get("refusal")):
        return message["refusal"]
    return object_of(message["audio"]).get("transcript", NULL) if present(message.get("audio")) else None


def _thoughts(message: Object) -> msgspec.Raw:
    """What a model thought that said nothing."""
    return next((message[key] for key in REASONING if key in message and is_text(message[key])), NULL)


# ---- Responses ---------------------------------------------------------------------------------------------------------


def read_response(reply: Object) -> Reading:
    """The Responses API. A whole one is completed, or incomplete for a reason."""
    status = text_of(reply.get("status"))
    if status in WAITING:
        problem = f'status "{status}": a response in the background is not waited for; leave `background` out of the request'
        return Reading(problem=problem, final=True)
    if status in ("failed", "cancelled"):
        error = reply.get(ERROR, NULL)
        final = present(error) and text_of(object_of(error).get("code")) not in PASSING_CODES
        return Reading(problem=f'status "{status}"', error=error, final=final)
    if not is_list(reply["output"]):
        return Reading(problem="no output")
    items = objects_of(reply["output"])
    if not any(map(_says_something, items)):
        cut = status == "incomplete"
        ended = finish(object_of(reply.get("incomplete_details")).get("reason") if cut else reply.get("status"))
        return nothing_said("an output with nothing in it", ended, complete=False)
    content, whole = _read_items(items)
    reason = finish(object_of(reply.get("incomplete_details")).get("reason")) if status == "incomplete" else finish(reply.get("status"))
    if reason == "stop" and any(text_of(item.get("type")) == "function_call" for item in items):
        reason = "tool_calls"
    return Reading(content, whole and status != "incomplete", reason)


def _says_something(item: Object) -> bool:
    """Whether an item of an output is more than thoughts and an empty message."""
    kind = text_of(item.get("type"))
    if kind not in ("message", None):
        return kind != "reasoning"
    content = item.get("content", NULL)
    return is_text(content) or any(map(_is_part, objects_of(content)))


def _read_items(items: list[Object]) -> tuple[msgspec.Raw, bool]:
    parts = [part for item in items for part in objects_of(item.get("content")) if text_of(item.get("type")) in ("message", None)]
    texts = [text_of(part.get("text")) for part in parts if text_of(part.get("type")) == "output_text"]
    whole = all(text_of(item.get("type")) == "message" and not says_more(item, PLAIN_ITEM) for item in items)
    whole = whole and all(text_of(part.get("type")) == "output_text" and not says_more(part, PLAIN_TEXT) for part in parts)
    if texts:
        return joined(texts), whole
    calls = [item for item in items if (text_of(item.get("type")) or "").endswith("_call")]
    if calls:
        return as_text(calls), False
    return joined(text_of(part.get("refusal")) for part in parts), False

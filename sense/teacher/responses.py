"""What the response of an OpenAI-compatible `/chat/completions` means.

It is a completion, a parameter that the endpoint does not support, or a failure. A failure belongs to this one exchange (a
content filter, an answer that was no JSON), or every other exchange would fail alike (a wrong key, an unknown model). Servers
tell these apart by their words more than by the status, so both are read here, and what is not known as the latter counts as
the former: an endpoint that answers nothing is noticed after a few exchanges, but a prompt that always fails must end no run.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from sense.endpoint import MAX_RETRY_AFTER_S, CallFailure, ErrorBody, error_fields, parse_error, redirection, retry_after
from sense.teacher.ledger import Tokens, tokens_of

TRUNCATED = ("length", "max_tokens")  # finish reasons
SYSTEM_ROLE = "system role"
"""Stands among the names of unsupported parameters for the system message, which is no parameter."""
JSON_SCHEMA = "json_schema"
"""Stands there for a response_format with a JSON schema, where the endpoint may have JSON mode at least."""


@dataclass(frozen=True)
class ChatCompletion:
    """The text that the model wrote, never empty; `truncated` if it stopped at max_tokens; `tokens` if the server counts them."""

    text: str
    truncated: bool
    tokens: Tokens | None = field(default=None, compare=False)


@dataclass(frozen=True)
class UnsupportedParameter:
    """A parameter of the request, SYSTEM_ROLE or JSON_SCHEMA, without which the same request may succeed."""

    name: str


_FIXES_BY_STATUS = {
    401: "set SENSE_API_KEY to a key that this endpoint accepts",
    402: "the account has no credit left: top it up, then run again",
    403: "set SENSE_API_KEY to a key that may use this model",
    404: "check llm.base_url (it usually ends in /v1) and llm.model",
    405: "check llm.base_url (it usually ends in /v1)",
}
_RATE_LIMIT_FIX = "raise the rate limit or wait, then run again: finished drafts are kept"
_QUOTA_FIX = "the account's quota is used up: top it up, then run again: finished drafts are kept"
_QUOTA = re.compile(
    r"insufficient_quota|billing_(hard_limit|not_active)|exceeded_current_quota|insufficient[ _](balance|credit)", re.I
)
_NO_CAUSE_FIX = "the server's log may say why"
_CONTEXT = re.compile(
    r"context[ _]?(length|window|size|limit)|n_ctx|prompt is too long|too many (input )?tokens|string_above_max_length", re.I
)
_CONTEXT_TOKENS = re.compile(r"(?:context[ _]?(?:length|window|size|limit)|n_ctx)\D{0,40}?(\d{3,9})", re.I)
_FILTER_FIX = "where this is not about single prompts, loosen the endpoint's content filter or ask another"
_EXCHANGE_FAILURES = (  # (what the error says, reason, fix)
    (
        re.compile(
            r"content.{0,3}(filter|management|policy|moderation|inspection)|data_inspection|moderation|flagged|usage polic|"
            r"safety|inappropriate|prohibited_content|sensitive|responsible ?ai",
            re.I,
        ),
        "content filter",
        _FILTER_FIX,
    ),
    (
        re.compile(r"json_validate_failed|failed_generation|(fail\w*|unable) to (generate|produce|validate) .{0,40}json", re.I),
        "JSON mode failed",
        "where this is not about single answers, raise llm.max_tokens or try another llm.model",
    ),
)
_RANGE = r"(must|should|too (large|small|high|low)|less than|greater than|at most|at least|exceed|range|between|invalid|maximum)"
_ENDPOINT_FIXES = (  # of an HTTP 400 or 422 that every exchange would get
    (
        re.compile(
            r"model_not_found|invalid_model|deploymentnotfound|(invalid|unknown|no such|unsupported) model|not a valid model|"
            r"\bmodel\b.{0,80}(not exist|not found|decommissioned|deprecated)",
            re.I,
        ),
        "set llm.model to a model that this endpoint serves",
    ),
    (re.compile(r"\bapi[ _-]?key\b|authorization header", re.I), _FIXES_BY_STATUS[401]),
    (re.compile(r"sent to https port", re.I), "write llm.base_url with https://"),
    (re.compile(rf"\bmax_(completion_)?tokens\b.{{0,60}}\b{_RANGE}", re.I), "change llm.max_tokens"),
    (re.compile(rf"\btemperature\b.{{0,60}}\b{_RANGE}", re.I), "change llm.temperature"),
)
_UNSUPPORTED = re.compile(
    r"unsupported|(not|n't) (be )?support|instead|deprecated|unrecogni[sz]ed|unknown|unexpected|extra|not (allowed|permitted)|"
    r"only the default|\bonly\b.{0,20}\b1\b",
    re.I,
)
_JSON_MODE = re.compile(r"response_format|json[ _-]?(mode|object|schema)|structured output", re.I)
_SCHEMA = re.compile(r"(response|json)_schema|additional_?properties|structured_?outputs?|guided_(json|decoding)|xgrammar", re.I)
_NO_SYSTEM_ROLE = re.compile(
    r"\b(system|developer)\b.{0,60}(not|n't|un) ?-?(be )?(support|allow|enabl|permit|accept)|(not|n't) support.{0,20}\bsystem\b|"
    r"roles must alternate|only user.{0,30} roles are supported",
    re.I | re.S,
)


def read_response(
    response: httpx.Response, body: bytes, request: Mapping[str, Any]
) -> ChatCompletion | UnsupportedParameter | CallFailure:
    """What the `response` with this `body` means as the answer to `request`, the JSON that was sent."""
    if response.status_code != httpx.codes.OK:
        return _read_error(response.status_code, parse_error(body), response.headers, request)
    if "text/event-stream" in response.headers.get("content-type", "") or body.lstrip().startswith(b"data:"):
        fix = "switch streaming off where the server, or what stands before it, switches it on"
        return CallFailure("HTTP 200 with a stream of events, though none was asked for", fix)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    choices = value.get("choices") if isinstance(value, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else {}
    for container in (value, choice):
        if isinstance(container, dict) and container.get("error"):
            return _read_error(_status_of(container["error"]), error_fields(container), response.headers, request)
    outcome = _read_choice(choice, request) if isinstance(choice, dict) and "message" in choice else None
    if isinstance(outcome, ChatCompletion):
        return replace(outcome, tokens=tokens_of(value))
    if outcome is None and choices == []:
        outcome = CallFailure("HTTP 200 without choices", _NO_CAUSE_FIX, reason="empty answer")
    if outcome is None:
        excerpt = body[:4096].decode("utf-8", "replace")
        fix = "check that llm.base_url is that of an OpenAI-compatible API (it usually ends in /v1)"
        outcome = CallFailure(f"HTTP 200 with something that is no chat completion: {excerpt}", fix, "no completion", retry=True)
    return outcome


def _read_choice(choice: Mapping[str, Any], request: Mapping[str, Any]) -> ChatCompletion | CallFailure | None:
    """The completion in the choice, or why there is none; None if it has not the form of one."""
    message = choice["message"] or {}
    text = _join_parts(message.get("content")) if isinstance(message, dict) else None
    if text is None:
        return None
    finish = str(choice.get("finish_reason") or "").lower()
    if text.strip() and not finish.startswith("content_filter"):
        return ChatCompletion(text, truncated=finish in TRUNCATED)
    return _explain_no_text(message, finish, request)


def _explain_no_text(message: Mapping[str, Any], finish: str, request: Mapping[str, Any]) -> CallFailure:
    """Why a message has no text, or none that is whole."""
    thoughts = [name for name in ("reasoning_content", "reasoning", "reasoning_details", "thinking") if message.get(name)]
    if message.get("content"):  # parts, none of which is text
        thoughts.append("parts that are no text")
    if finish.startswith("content_filter"):
        return CallFailure("the content filter took the answer", _FILTER_FIX, "content filter")
    if message.get("refusal"):
        return CallFailure(f"the model declined: {message['refusal']}", "try another llm.model", "declined")
    if finish in TRUNCATED:
        limit = request.get("max_tokens", request.get("max_completion_tokens"))
        fix = "raise llm.max_tokens, or let the model think less"
        return CallFailure(f"all of the {limit} tokens were used up before the answer began", fix, "cut off")
    if thoughts:
        fix = "start the server so that the answer comes as content (vLLM: without --reasoning-parser, or with thinking off)"
        problem = f"the content is empty, all of the text stands in {thoughts[0]}"
        return CallFailure(problem, f"{fix}, or raise llm.max_tokens", f"answer in {thoughts[0]}")
    return CallFailure("the content is empty", _NO_CAUSE_FIX, "empty answer")


def _join_parts(content: Any) -> str | None:
    """The text of a message's `content`: a text, or parts of which those with thoughts are left out; None if it is neither."""
    if content is None or isinstance(content, str):
        return content or ""
    texts: list[Any] = []
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("type", "text"), str):
            if part.get("type", "text") in ("text", "output_text"):
                texts.append(part.get("text"))
        else:
            return None
    return "".join(texts) if all(isinstance(text, str) for text in texts) else None


def _status_of(error: Any) -> int:
    """The status that an error within a response of status 200 stands for; 502 (it may go away) where it does not say."""
    code = str(error.get("code", "")) if isinstance(error, dict) else ""
    return int(code) if re.fullmatch(r"[45]\d\d", code) else 429 if _QUOTA.search(code) or "rate_limit" in code else 502


def _read_error(
    status: int, error: ErrorBody, headers: Mapping[str, str], request: Mapping[str, Any]
) -> UnsupportedParameter | CallFailure:
    """What an error response means. What is known is looked for first in the words, then in the status."""
    words = f"{error.codes} {error.message[:2000]}"
    failure = CallFailure(
        message=f"HTTP {status}: {error.message}" + (f" ({error.codes})" if error.codes else ""),
        fix=_FIXES_BY_STATUS.get(status, "check the llm section"),
    )
    if status == 429 or _QUOTA.search(error.codes):
        return _read_rate_limit(failure, words, headers)
    if 300 <= status < 400:
        return redirection(status, headers, "llm.base_url")
    outcome: UnsupportedParameter | CallFailure | None = None
    if status not in (401, 402, 404, 405):
        outcome = _read_context_error(failure, words, request) or _read_exchange_error(failure, words)
        outcome = outcome or _unsupported_parameter(status, error, request)
    if outcome is None and (status in (408, 409, 425) or status >= 500):
        outcome = _read_transient_error(failure, status, headers)
    if outcome is None and status in (400, 422):
        fixes = [fix for pattern, fix in _ENDPOINT_FIXES if pattern.search(words)]
        outcome = replace(failure, fix=fixes[0]) if fixes else replace(failure, reason=f"HTTP {status}")
    return outcome or replace(failure, reason="" if status in _FIXES_BY_STATUS else f"HTTP {status}")


def _read_rate_limit(failure: CallFailure, words: str, headers: Mapping[str, str]) -> CallFailure:
    """Whether to wait and ask again: not where an account has nothing left, or must wait for hours."""
    if _QUOTA.search(words):
        return replace(failure, fix=_QUOTA_FIX)
    wait = retry_after(headers.get("retry-after", ""))
    return replace(failure, fix=_RATE_LIMIT_FIX, retry=wait <= MAX_RETRY_AFTER_S, wait_s=wait)


def _read_transient_error(failure: CallFailure, status: int, headers: Mapping[str, str]) -> CallFailure:
    """An error that may go away: of this exchange if it does not, unless the server says that it will be gone for hours."""
    wait = retry_after(headers.get("retry-after", "")) if status == 503 else 0.0
    hopeless = wait > MAX_RETRY_AFTER_S
    fix = "it fails by itself: run again later, finished drafts are kept"
    return replace(failure, fix=fix, reason="" if hopeless else f"HTTP {status}", retry=not hopeless, wait_s=wait)


def _read_context_error(failure: CallFailure, words: str, request: Mapping[str, Any]) -> CallFailure | None:
    """A prompt that is too long: of this exchange, unless llm.max_tokens leaves less than a quarter of the context to prompts."""
    if not _CONTEXT.search(words):
        return None
    context = _CONTEXT_TOKENS.search(words.replace(",", ""))
    limit = request.get("max_tokens", request.get("max_completion_tokens", 0))
    hopeless = context is not None and limit > 0.75 * int(context[1])
    fix = "lower llm.max_tokens or llm.demonstrations, or serve the model with a longer context"
    return replace(failure, fix=fix, reason="" if hopeless else "prompt too long")


def _read_exchange_error(failure: CallFailure, words: str) -> CallFailure | None:
    """A failure that is known to be that of one exchange."""
    for pattern, reason, fix in _EXCHANGE_FAILURES:
        if pattern.search(words):
            return replace(failure, fix=fix, reason=reason)
    return None


def _unsupported_parameter(status: int, error: ErrorBody, request: Mapping[str, Any]) -> UnsupportedParameter | None:
    """What the endpoint complains about, if the request can do without it and has it.

    OpenAI's newer models accept max_completion_tokens only, older servers max_tokens only, and some models no temperature but
    their own. Some servers support no JSON schema, no JSON mode or no seed; leaving out the former two is safe because the
    prompt asks for JSON too.
    Some chat templates know no system role: vLLM answers 400 then, llama.cpp 500.
    """
    if status in (400, 422, 500) and request["messages"][0]["role"] == "system" and _NO_SYSTEM_ROLE.search(error.message):
        return UnsupportedParameter(SYSTEM_ROLE)
    if status not in (400, 422):
        return None
    if "max_tokens" in request and "max_completion_tokens" in error.message and _UNSUPPORTED.search(error.message):
        return UnsupportedParameter("max_tokens")
    unsupported = bool(_UNSUPPORTED.search(f"{error.codes} {error.message}"))
    for name, needs_words in (("response_format", False), ("seed", False), ("temperature", True)):
        named = error.parameter.startswith(name) or re.search(rf"\b{name}\b", error.message)
        if name in request and named and (unsupported or not needs_words):
            return UnsupportedParameter(_json_schema(request) if name == "response_format" else name)
    json_mode = unsupported and _JSON_MODE.search(error.message)
    if "response_format" in request and (json_mode or (_json_schema(request) == JSON_SCHEMA and _SCHEMA.search(error.message))):
        return UnsupportedParameter(_json_schema(request))
    return None


def _json_schema(request: Mapping[str, Any]) -> str:
    """What of the request's response_format is unsupported: its JSON schema, or all of it where it has none."""
    return JSON_SCHEMA if request["response_format"]["type"] == "json_schema" else "response_format"

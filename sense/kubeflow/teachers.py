"""Whether the LLMs that write strong data can be asked: their keys, and one cheap request to each."""

import ipaddress
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from sense import config
from sense.endpoint import CallFailure, HttpEndpoint, Settings, parse_error
from sense.errors import SenseError, UserError

_TIMEOUT_S = 30.0  # of a request


def check_keys(params: Mapping[str, Any]) -> str:
    """For which LLMs a key is set, of those that `params`, params.yaml, names; empty for none. UserError if one is missing."""
    synthesize = params.get("synthesize")
    synthesize = synthesize if isinstance(synthesize, Mapping) else {}
    teachers = synthesize.get("teachers")
    if isinstance(teachers, Mapping) and teachers:
        llms = {str(name): each.get("llm") for name, each in teachers.items() if isinstance(each, Mapping)}
    else:
        llms = {"": synthesize.get("llm") if synthesize.get("teacher") == "llm" else None}
    details = [_key_of(name, llm) for name, llm in llms.items() if isinstance(llm, Mapping)]
    return "; ".join(details)


def _key_of(teacher: str, llm: Mapping[str, Any]) -> str:
    """Whether the key of an LLM is set, where it needs one; `teacher` is its name among several, empty for the only one."""
    section = f"synthesize.teachers.{teacher}.llm" if teacher else "synthesize.llm"
    url = str(llm.get("base_url", config.LlmConfig.model_fields["base_url"].default))
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        raise UserError(f"{section}.base_url is no address; write it like https://host/v1") from None
    if config.api_key(teacher):
        return f"set, for {host}"
    if _is_local(host):
        return f"not set, and {host} is near: it may need none"
    raise UserError(f"none set for {host} ({section}.base_url); set {config.api_key_variable(teacher)}")


def check_answers(synthesize: config.SynthesizeConfig) -> str:
    """Whether each LLM answers, takes its key and has the model; empty for none. UserError lists those that do not."""
    named = {name: teacher.llm for name, teacher in synthesize.teachers.items()}
    llms = named or {"": synthesize.llm if synthesize.teacher == "llm" else None}
    details, problems = [], []
    for name, llm in llms.items():
        if llm is None:
            continue
        if llm.offline:
            details.append(f"{llm.model}: not asked (llm.offline)")
            continue
        try:
            details.append(call(llm, name))
        except SenseError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))
    return "; ".join(details)


def call(llm: config.LlmConfig, name: str = "") -> str:
    """Whether the endpoint lists the model, or else completes one token; UserError if neither. `name` is one of several."""
    section = f"synthesize.teachers.{name}.llm" if name else "synthesize.llm"
    key = config.api_key(name)
    settings = Settings(llm.base_url, f"{section}.base_url", section, config.api_key_variable(name), _TIMEOUT_S)
    models = HttpEndpoint(settings, "/models", key)
    outcome = models.call(None)
    if not isinstance(outcome, CallFailure) and outcome[0].status_code == 200 and llm.model in _model_names(outcome[1]):
        return f"{models.name} lists {llm.model}"
    chat = HttpEndpoint(settings, "/chat/completions", key)
    outcome = chat.call({"model": llm.model, "messages": [{"role": "user", "content": "1"}], "max_tokens": 1})
    if isinstance(outcome, CallFailure):
        raise UserError(chat.describe(outcome, 1))
    response, body = outcome
    error = parse_error(body)
    # a model that counts its tokens under another name has read the request, and so knows key and model
    if response.status_code == 200 or (response.status_code == 400 and "max_completion_tokens" in error.message):
        return f"{chat.name}: {llm.model} answers"
    fixes = {401: f"check {settings.key_variable}", 403: f"check {settings.key_variable} and its rights"}
    fixes |= {404: f"check {section}.model and {section}.base_url", 429: "its limit is used up: wait, or raise it"}
    fix = fixes.get(response.status_code, f"check {section} and the server's log")
    message = chat.describe(CallFailure(f"{response.status_code}, {error.message}", fix), 1)
    raise UserError(f"{section}.model = {llm.model}: {message}")


def _model_names(body: bytes) -> set[str]:
    """The ids in a list of models; none if it is no such list."""
    try:
        rows = json.loads(body)["data"]
        return {str(row["id"]) for row in rows}
    except (ValueError, KeyError, TypeError):
        return set()


def _is_local(host: str) -> bool:
    """Whether a host is this machine, or of the cluster or network around it."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".svc", ".cluster.local", ".local", ".internal", ".localhost"))

"""Routes a request, builds its answer, and logs both.

Nothing here sleeps or does I/O; pauses and broken connections are pieces of the answer, played by an adapter.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from attrs import define, evolve, field

from . import _bodies
from ._completions import completion_answer
from ._messages import AGENTLESS_PATH, BOT_REPLIES_PATH, wrong_message, wrong_reply
from ._responder import Responder
from ._script import CompletionScript, Script, TokenScript
from ._scripted import JSON, Fail, Handle, Say, too_large, too_many_requests
from ._tokens import Tokens, Usage
from ._values import Answer, Request

if TYPE_CHECKING:
    from ._fake import FakeGenesys

OPENAI_PATH = "/v1/chat/completions"

# The platform's limit `request.bytes.max`, for pushes and completions.
MAX_BODY = 512_000
# The platform's default rate limit: always in the headers, enforced only where `rate_limit` is set.
UNENFORCED = (300, 60.0)

_UNAUTHORISED = {
    "authentication.required": "No authentication bearer token specified in authorization header.",
    "bad.credentials": "Invalid login credentials.",
    "credentials.expired": "The supplied credentials have expired.",
}


class _Refused(Exception):  # carries an answer; it never leaves this module
    """The request is answered with this error."""

    def __init__(self, fail: Fail) -> None:
        super().__init__(fail)
        self.fail = fail


@define(eq=False)
class App(Responder):
    """A Genesys Cloud without a network; `settings` is the `FakeGenesys` that it answers for."""

    settings: FakeGenesys
    issued: Tokens = field(factory=Tokens)
    pushes: list[Any] = field(factory=list)
    sent_messages: list[Any] = field(factory=list)
    sent_bot_replies: list[Any] = field(factory=list)
    _completions_started: int = 0
    completions: CompletionScript = field(init=False)
    push: Script = field(init=False)
    messages: Script = field(init=False)
    bot_replies: Script = field(init=False)
    tokens: TokenScript = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.completions = CompletionScript(lambda: self.entries("completions"))
        self.push = Script(lambda: self.entries("push"))
        self.messages = Script(lambda: self.entries("messages"))
        self.bot_replies = Script(lambda: self.entries("bot_replies"))
        self.tokens = TokenScript(lambda: self.entries("tokens"))

    def respond(self, request: Request) -> Answer:
        """Answer a request, and log both."""
        with self.lock:
            correlation_id = str(uuid.uuid4())
            route = self._routes.get(request.path, "")
            usage: list[Usage] = []
            try:
                answer = self._handle(request, route, correlation_id, usage)
            except _Refused as refused:
                answer = self._failure(refused.fail, request.path, route, correlation_id)
            headers = (*answer.headers, ("ININ-Correlation-Id", correlation_id), *_rate_headers(usage))
            answer = evolve(answer, headers=headers).framed()
            entry = self.log(request, answer, route, correlation_id)
        if self.settings.on_request is not None:
            self.settings.on_request(entry)
        return answer

    @property
    def _routes(self) -> dict[str, str]:
        return {
            self.settings.completions_path: "completions",
            OPENAI_PATH: "completions",
            self.settings.push_path: "push",
            AGENTLESS_PATH: "messages",
            BOT_REPLIES_PATH: "bot_replies",
            self.settings.token_path: "tokens",
        }

    def _handle(self, request: Request, route: str, correlation_id: str, usage: list[Usage]) -> Answer:
        if not route:
            raise _Refused(Fail(404))
        if request.method != "POST":
            raise _Refused(Fail(405, headers=(("Allow", "POST"),)))
        if route != "tokens":
            self._authorise(request, usage)
        script: Script = getattr(self, route)
        scripted = script.next()
        if isinstance(scripted, Answer):
            return scripted
        if isinstance(scripted, Fail):
            return self._failure(scripted, request.path, route, correlation_id)
        if route == "tokens":
            answer = self._token(request)
        elif route == "push":
            answer = self._push(_json(request), correlation_id)
        elif route == "messages":
            answer = self._message(_json(request), request.at)
        elif route == "bot_replies":
            answer = self._bot_reply(_json(request))
        else:
            answer = self._completion(scripted if isinstance(scripted, Say) else Say(), _json(request), request.at)
        before = scripted.before if isinstance(scripted, Handle) else ()
        return evolve(answer, before=(*before, *answer.before))

    def _authorise(self, request: Request, usage: list[Usage]) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise _Refused(Fail(401, "authentication.required", _UNAUTHORISED["authentication.required"]))
        if not (request.path == OPENAI_PATH and token in self.settings.api_keys):
            code = self.issued.problem(token, request.at)
            if code:
                raise _Refused(Fail(401, code, _UNAUTHORISED[code]))
        used = self.issued.use(token, self.settings.rate_limit or UNENFORCED, request.at)
        usage.append(used)
        if self.settings.rate_limit and used.count > used.allowed:
            limit = {
                "key": "client.credentials.token.rate.per.minute",
                "namespace": "platform.api",
                "value": used.allowed,
            }
            raise _Refused(too_many_requests(max(1, used.reset), limit))
        if len(request.body) > MAX_BODY:
            raise _Refused(too_large(len(request.body), MAX_BODY))
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise _Refused(Fail(415))

    def _token(self, request: Request) -> Answer:
        form = parse_qs(request.body.decode("latin-1"))
        if form.get("grant_type") != ["client_credentials"]:
            raise _Refused(Fail(400, "unsupported_grant_type", "unsupported grant type"))
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise _Refused(Fail(401, "invalid_client", "authentication failed"))
        try:
            client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise _Refused(Fail(401, "invalid_client", "authentication failed")) from None
        if client_id != self.settings.client_id:
            raise _Refused(Fail(400, "invalid_client", "client not found"))
        if secret != self.settings.client_secret:
            raise _Refused(Fail(401, "invalid_client", "authentication failed"))
        token = self.issued.issue(request.at + self.settings.expires_in)
        return _json_answer(
            200, {"access_token": token, "token_type": "bearer", "expires_in": self.settings.expires_in}
        )

    def _push(self, payload: Mapping[str, Any], correlation_id: str) -> Answer:
        _refuse_wrong(_wrong_fields(payload))
        limit = self.settings.max_push_bytes
        size = len(_bodies.encode({name: value for name, value in payload.items() if name != "targets"}))
        if limit is not None and size > limit:
            raise _Refused(too_large(size, limit))
        self.pushes.append(payload)
        receipt = {"id": f"push_{correlation_id[:8]}", "status": "queued", "targets_count": len(payload["targets"])}
        return _json_answer(202, receipt)

    def _message(self, payload: Mapping[str, Any], at: float) -> Answer:
        _refuse_wrong(wrong_message(payload))
        self.sent_messages.append(payload)
        sent = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        answered = ("fromAddress", "toAddress", "useExistingActiveConversation")
        receipt = {
            "id": str(uuid.uuid4()),
            "conversationId": str(uuid.uuid4()),
            **{name: payload[name] for name in answered if name in payload},
            "messengerType": payload["toAddressMessengerType"],
            "timestamp": sent,
        }
        return _json_answer(202, receipt)

    def _bot_reply(self, payload: Mapping[str, Any]) -> Answer:
        _refuse_wrong(wrong_reply(payload))
        self.sent_bot_replies.append(payload)
        return _json_answer(202, {"messageId": str(uuid.uuid4())})

    def _completion(self, said: Say, payload: Mapping[str, Any], at: float) -> Answer:
        messages = payload.get("messages")
        if not isinstance(messages, list) or not messages:
            detail = {"errorCode": "invalid.value", "fieldName": "messages"}
            raise _Refused(Fail(400, "invalid.value", "Value is not valid for: messages", (detail,)))
        self._completions_started += 1
        return completion_answer(
            said,
            payload,
            number=self._completions_started,
            created=int(at),
            token_interval=self.settings.token_interval,
        )

    def _failure(self, fail: Fail, path: str, route: str, correlation_id: str) -> Answer:
        usual = _bodies.OAUTH_ERRORS if route == "tokens" else _bodies.ERRORS
        code, message = usual.get(fail.status, ("error", f"The request failed with status {fail.status}."))
        code, message = fail.code or code, fail.message or message
        if route == "tokens":
            body = _bodies.oauth_error(code, message)
        elif path == OPENAI_PATH:
            body = _bodies.openai_error(fail.status, code, message)
        else:
            body = _bodies.error_body(
                fail.status, code, message, context_id=correlation_id, details=fail.details, limit=fail.limit
            )
        return _json_answer(fail.status, body, fail.headers)


def _json(request: Request) -> Mapping[str, Any]:
    try:
        payload = json.loads(request.body)
    except ValueError:
        payload = None
    if not isinstance(payload, Mapping):
        raise _Refused(Fail(400, "bad.request", "The request body is not a JSON object."))
    return payload


def _refuse_wrong(names: list[str]) -> None:
    if names:
        wrong = tuple({"errorCode": "invalid.value", "fieldName": name} for name in names)
        raise _Refused(Fail(400, "invalid.value", f"Value is not valid for: {', '.join(names)}", wrong))


def _wrong_fields(payload: Mapping[str, Any]) -> list[str]:
    wrong = []
    targets = payload.get("targets")
    if not isinstance(targets, list) or not targets or not all(isinstance(one, str) and one for one in targets):
        wrong.append("targets")
    wrong += [name for name in ("title", "body") if not isinstance(payload.get(name, ""), str)]
    data = payload.get("data", {})
    if isinstance(data, Mapping):
        wrong += [f"data.{name}" for name, value in data.items() if not isinstance(value, str)]
    else:
        wrong.append("data")
    return wrong


def _rate_headers(usage: list[Usage]) -> tuple[tuple[str, str], ...]:
    return tuple(
        header
        for used in usage
        for header in (
            ("inin-ratelimit-count", str(used.count)),
            ("inin-ratelimit-allowed", str(used.allowed)),
            ("inin-ratelimit-reset", str(used.reset)),
        )
    )


def _json_answer(status: int, body: object, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    return Answer(status, (JSON, *headers), (_bodies.encode(body),))

"""What a service says and a client asks, for the tests of completions and of readings."""

import json

from genesys_stream._core.http.exchange import Reply
from genesys_stream._core.http.retry import Retry
from genesys_stream._core.http.settings import settings
from genesys_stream._core.reading.completions import completion_call
from genesys_stream._values import Timeouts

CLIENT = settings(
    region="us-east-1",
    base_url=None,
    login_url=None,
    completions_path="/llm",
    push_path="/push",
    allow_insecure_http=False,
    retry=Retry(attempts=3, wait_initial=1.0, wait_max=4.0, retry_after_max=60.0, jitter=lambda bound: bound),
    timeouts=Timeouts(first_token=None, token_idle=None, transport_idle=None),
)
OPENED = Reply(200, {"content-type": "text/event-stream"})
ASK = [{"role": "user", "content": "Hi"}]


def a_call(*, stream=True, **options):
    return completion_call(CLIENT, model="m", messages=ASK, stream=stream, options=options)


def event(payload):
    return b"data: " + (payload if isinstance(payload, bytes) else json.dumps(payload).encode()) + b"\n\n"


def delta(text=None, *, index=0, finish=None, **fields):
    fields = fields if text is None else {"content": text, **fields}
    return event({"choices": [{"index": index, "delta": fields, "finish_reason": finish}]})


DONE = event(b"[DONE]")
ROLE = delta(role="assistant")
EMPTY = delta("")
PING = b": ping\n\n"
USAGE = event({"choices": [], "usage": {"total_tokens": 7}})
LIMITED = event({"error": {"code": "rate_limit_exceeded", "message": "Retry the request in [5] seconds"}})
INVALID = event({"error": {"code": "invalid_request"}})
MALFORMED = event(b"{")
HELLO = ROLE + delta("Hel") + delta("lo") + delta(finish="stop") + USAGE + DONE

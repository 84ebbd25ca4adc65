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


def typed(name, **fields):
    """An event whose type stands beside its data and in it, as in other formats than OpenAI's chat completions."""
    return b"event: " + name.encode() + b"\ndata: " + json.dumps({"type": name, **fields}).encode() + b"\n\n"


ANTHROPIC = (
    typed(
        "message_start",
        message={"id": "msg_1", "type": "message", "role": "assistant", "content": [], "usage": {"input_tokens": 9}},
    )
    + typed("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + typed("ping")
    + typed("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello"})
    + typed("content_block_stop", index=0)
    + typed("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3})
    + typed("message_stop")
)
RESPONSES = (
    typed("response.created", sequence_number=0, response={"id": "resp_1", "status": "in_progress", "output": []})
    + typed("response.output_item.added", output_index=0, item={"id": "msg_1", "type": "message", "content": []})
    + typed("response.output_text.delta", output_index=0, content_index=0, item_id="msg_1", delta="Hello")
    + typed("response.completed", response={"id": "resp_1", "status": "completed"})
)
COHERE = (
    typed("message-start", id="29f14a5a", delta={"message": {"role": "assistant", "content": []}})
    + typed("content-start", index=0, delta={"message": {"content": {"type": "text", "text": ""}}})
    + typed("content-delta", index=0, delta={"message": {"content": {"text": "Hello"}}})
    + typed("content-end", index=0)
    + typed("message-end", delta={"finish_reason": "COMPLETE"})
    + DONE
)
GEMINI = event({"candidates": [{"content": {"parts": [{"text": "Hello"}]}}], "usageMetadata": {}, "modelVersion": "g"})

"""The text of a completion that was not scripted, and how text is cut into tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

GO_STREAMING = (
    "Go streams HTTP without buffering the whole message. On the server, a handler writes to an http.ResponseWriter, "
    "and calling Flush on its http.Flusher sends what has been written so far, using chunked transfer encoding when "
    "no Content-Length was set. On the client, http.Client.Do returns as soon as the headers have arrived; resp.Body "
    "is an io.ReadCloser that yields bytes as they come, so a bufio.Scanner or bufio.Reader can take one line at a "
    "time. Cancel the request's context to stop early, and always close the body, so that the connection can be "
    "reused or released."
)

STREAMING = (
    "A streamed completion arrives as a series of small events, each carrying the few characters that the model has "
    "just produced. The reader joins them in order and shows the text as it grows, instead of waiting for the last "
    "word. That makes an answer feel quick even when it is long. It also means that the connection may break halfway, "
    "so a careful reader checks that the end was reached. This text comes from a fake that runs on your own machine, "
    "and it is always the same."
)

_TOKEN = re.compile(r"\s?\w+|\s|[^\w\s]+")


def tokenise(text: str) -> tuple[str, ...]:
    """Cut text into word-like tokens, as a model would; joined, they are the text again."""
    return tuple(_TOKEN.findall(text))


def prompt_of(messages: object) -> str:
    """Return the text of the last user message, or "" where there is none."""
    if not isinstance(messages, list):
        return ""
    for message in reversed(messages):
        if isinstance(message, Mapping) and message.get("role") == "user":
            return _text(message.get("content"))
    return ""


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, Mapping))
        return "".join(part for part in parts if isinstance(part, str))
    return ""


def default_text(prompt: str) -> str:
    """Return a short text for a prompt; always the same one for the same prompt."""
    words = set(re.findall(r"\w+", prompt.lower()))
    if words & {"go", "golang"} and words & {"http", "stream", "streams", "streaming"}:
        return GO_STREAMING
    return STREAMING


def count_prompt_tokens(messages: Iterable[Any]) -> int:
    """Count the word-like tokens of all messages, for the usage."""
    return sum(len(tokenise(_text(m.get("content")))) for m in messages if isinstance(m, Mapping))

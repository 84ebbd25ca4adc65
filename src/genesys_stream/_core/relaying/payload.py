"""What the phone gets: a batch in its envelope, encoded to the bytes that are sent, and measured on these bytes."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from attrs import define, evolve, field

from ..._errors import InvalidArgument
from ..._values import Batch
from ..._values._checks import check_kind, check_whole, shown
from ..._wire import dumps, join_surrogates, type_name, unstructure
from ..text import last_cut, utf8_size

Caption: TypeAlias = "str | Callable[[Batch], str]"
"""A title or a body: the same for all payloads, or made for each batch."""

MAX_PAYLOAD_BYTES = 3584
"""FCM and APNs take 4096 bytes; the rest is for what a gateway adds when it hands a payload on."""

TAIL = 1024
"""How many characters of the text before it a payload of mode "tail" repeats."""

TITLE = "LLM Stream Update"

RESERVED = frozenset(
    {
        *("llm_response", "chunk_id", "v", "stream_id", "epoch", "seq", "offset", "mode", "state", "crc"),
        *("total", "reason", "ref"),
    }
)
"""The keys of `data` that belong to this library."""

# https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages, `data`.
_FCM_KEYS = frozenset({"from", "message_type"})
_FCM_PREFIXES = ("google.", "gcm.")


def count_received(batch: Batch) -> str:
    """Say how much came: what a notification reads unless something else is said."""
    return f"Received {len(batch.text)} characters"


def check_targets(targets: object) -> tuple[str, ...]:
    """Read the targets of a push.

    Raises:
        InvalidArgument: If they are not a list or tuple of strings with at least one, none of them empty.
    """
    if isinstance(targets, str):
        raise InvalidArgument("targets", "must be a list of device tokens; write [token] for a single one")
    if not isinstance(targets, (list, tuple)):
        raise InvalidArgument("targets", f"must be a list of device tokens, got {type_name(targets)}")
    if not targets:
        raise InvalidArgument("targets", "must name at least one device token")
    for i, target in enumerate(targets):
        if not isinstance(target, str):
            raise InvalidArgument(f"targets[{i}]", f"must be a string, got {type_name(target)}")
        if not target.strip():
            raise InvalidArgument(f"targets[{i}]", "must not be empty")
    return tuple(targets)


def check_data(data: object, *, stringify: bool = False) -> dict[str, str]:
    """Read the data of a push, whose values must be strings on their way through FCM and APNs.

    Args:
        data: A mapping, or None for an empty one.
        stringify: Whether values that are not strings are written as JSON.

    Returns:
        A new dictionary.

    Raises:
        InvalidArgument: A key or a value is invalid; its name is in the error, its value is not.
    """
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise InvalidArgument("data", f"must be a mapping of strings to strings, got {type_name(data)}")
    out: dict[str, str] = {}
    for key, value in data.items():
        if not isinstance(key, str):
            raise InvalidArgument("data", f"must have strings for keys, got {type_name(key)}")
        if key in _FCM_KEYS or key.startswith(_FCM_PREFIXES):
            raise InvalidArgument(f"data[{key!r}]", "is reserved by FCM, take another key")
        out[key] = _as_string(key, value, stringify=stringify)
    return out


def _as_string(key: str, value: object, *, stringify: bool) -> str:
    if isinstance(value, str):
        return value
    if not stringify:
        hint = "make JSON of it, as `client.push.send` does with stringify=True"
        raise InvalidArgument(f"data[{key!r}]", f"must be a string, got {type_name(value)}; {hint}")
    try:
        return dumps(unstructure(value)).decode()
    except (TypeError, ValueError, RecursionError):
        raise InvalidArgument(
            f"data[{key!r}]", f"cannot be written as JSON: it is, or holds, {type_name(value)}"
        ) from None


def encode_push(
    targets: object,
    title: object,
    body: object,
    data: object = None,
    *,
    stringify: bool = False,
    max_payload_bytes: int = MAX_PAYLOAD_BYTES,
) -> bytes:
    """Encode a push of a caller's own from its four fields.

    Args:
        targets: A list of device tokens.
        title: A string.
        body: A string.
        data: A mapping of strings to strings, or None.
        stringify: Whether values of `data` that are not strings are written as JSON.
        max_payload_bytes: The largest payload, in bytes.

    Returns:
        The payload as JSON.

    Raises:
        InvalidArgument: If one of them is invalid, or the payload is too large; it names the largest of the four then.
    """
    for name, value in (("title", title), ("body", body)):
        if not isinstance(value, str):
            raise InvalidArgument(name, f"must be a string, got {type_name(value)}")
    check_whole("max_payload_bytes", max_payload_bytes)
    data = check_data(data, stringify=stringify)
    payload = {"targets": list(check_targets(targets)), "title": title, "body": body, "data": data}
    content = dumps(payload)
    if len(content) > max_payload_bytes:
        sizes = {name: len(dumps(value)) for name, value in payload.items()}
        largest = max(sizes, key=sizes.__getitem__)
        problem = f"is too large: it takes {sizes[largest]} of {len(content)} bytes"
        raise InvalidArgument(largest, f"{problem}, and max_payload_bytes is {max_payload_bytes}")
    return content


def _own_data(data: object) -> dict[str, str]:
    out = check_data(data)
    for key in out:
        if key in RESERVED:
            raise InvalidArgument(f"data[{key!r}]", "is set by this library, take another key")
    return out


def _check_caption(_: object, attribute: Any, value: object) -> None:
    if not isinstance(value, str) and not callable(value):
        raise InvalidArgument(attribute.name, f"must be a string, or a callable that makes one, got {type_name(value)}")


def _size(caption: Caption) -> str:
    return f"<{len(caption)} characters>" if isinstance(caption, str) else repr(caption)


def _check_ref(_: object, attribute: Any, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidArgument(attribute.name, f"must be a string, got {type_name(value)}")


def _check_mode(_: object, attribute: Any, value: object) -> None:
    if not isinstance(value, str) or value not in {"delta", "tail", "snapshot"}:
        raise InvalidArgument(attribute.name, f"must be 'delta', 'tail' or 'snapshot', not {shown(value)}")


def _check_alert(_: object, attribute: Any, value: object) -> None:
    if not isinstance(value, str) or value not in {"all", "final"}:
        raise InvalidArgument(attribute.name, f"must be 'all' or 'final', not {shown(value)}")


_FIELDS: tuple[tuple[str, type[Any], bool], ...] = (
    *((name, str, False) for name in ("text", "stream_id", "before", "state")),
    *((name, int, False) for name in ("epoch", "seq", "offset", "crc")),
    ("total", int, True),
    ("finish_reason", str, True),
)
"""What a payload says of a batch, and of which kind it is; a batch itself checks nothing, as there is one per token."""


_USUAL = {
    (Batch, str, str, str, str, int, int, int, int, total, reason)
    for total in (int, type(None))
    for reason in (str, type(None))
}


def _check_batch(batch: Batch) -> None:
    if (
        isinstance(batch, Batch)
        and (
            type(batch),
            type(batch.text),
            type(batch.stream_id),
            type(batch.before),
            type(batch.state),
            type(batch.epoch),
            type(batch.seq),
            type(batch.offset),
            type(batch.crc),
            type(batch.total),
            type(batch.finish_reason),
        )
        in _USUAL
    ):
        return  # which is much faster than to look at one after the other
    check_kind("batch", batch, Batch)
    for name, cls, optional in _FIELDS:
        check_kind(f"batch.{name}", getattr(batch, name), cls, optional=optional)


def _check_size(_: object, attribute: Any, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidArgument(attribute.name, f"must be a number of bytes, got {shown(value)}")


def check_max_payload_bytes(value: object, most: int, service: str) -> None:
    """Check that a limit for payloads is none that the service itself would refuse."""
    if isinstance(value, int) and value > most:
        raise InvalidArgument("max_payload_bytes", f"must be at most {most}, which {service} takes; got {value}")


json_string: Callable[[str], str] = json.JSONEncoder(ensure_ascii=False).encode
"""Write a string as JSON, raw but for what must be escaped."""

_LEAST = Batch("a", seq=1)
_LAST = Batch("", seq=1, state="error")
"""No payload with text is smaller than that of the first, and no final one than that of the second."""


@define(frozen=True, kw_only=True)
class PayloadEncoder(ABC):
    """Encodes the batches of a stream to payloads; a subclass for each service says what is around their keys.

    Args:
        title: What the notification is headed, or a callable that says it for a batch.
        body: What the notification reads, likewise.
        data: The caller's own keys for every payload, strings to strings.
        ref: Where the receiver can fetch the whole text, for the final payload; an id or a URL.
        mode: What the payloads hold: "delta", each the new text alone; "tail", the new text and up to `TAIL` characters
            before it; or "snapshot", the new text and all that was said before it, as far as it fits. What repeats the
            text before makes up for payloads that were lost. A payload says itself what it is.
        alert: Which payloads have a title and a body: the "final" one alone, so that the phone shows one notification;
            or "all".
        max_payload_bytes: The limit for one payload, as `measure` counts.

    Raises:
        InvalidArgument: If an argument is of the wrong kind, a key of `data` is one of the library's own, or
            `max_payload_bytes` has no room for text beside what is the same for all batches.
    """

    title: Caption = field(default=TITLE, validator=_check_caption, repr=_size)
    body: Caption = field(default=count_received, validator=_check_caption, repr=_size)
    data: Mapping[str, str] = field(factory=dict, converter=_own_data, repr=False)
    ref: str = field(default="", validator=_check_ref, repr=_size)
    mode: Literal["delta", "tail", "snapshot"] = field(default="delta", validator=_check_mode)
    alert: Literal["all", "final"] = field(default="final", validator=_check_alert)
    max_payload_bytes: int = field(default=MAX_PAYLOAD_BYTES, validator=_check_size)
    _own_keys: str = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        # What is the same in all payloads is made once; object.__setattr__ because the class is frozen.
        own_keys = [f",{json_string(key)}:{json_string(value)}" for key, value in self.data.items()]
        object.__setattr__(self, "_own_keys", "".join(own_keys) + ',"v":"1","stream_id":')
        self._prepare()
        # Captions that are made for each batch may be of any length, and are left for `fit` to measure.
        title, body = (caption if isinstance(caption, str) else "" for caption in (self.title, self.body))
        alert = (title, body)
        least = self._assemble(_LEAST, _LEAST.text, 0, alert if self.alert == "all" else None)
        needed = max(map(self.measure, (least, self._assemble(_LAST, "", 0, alert))))
        if needed > self.max_payload_bytes:
            raise self._no_room(needed)

    def _prepare(self) -> None:  # noqa: B027 - some services have nothing to prepare
        """Make what `_wrap` needs that is the same in all payloads."""

    def _no_room(self, needed: int) -> InvalidArgument:
        """Return the error of an encoder whose smallest payload is too large."""
        return InvalidArgument(
            "max_payload_bytes", f"leaves no room for text: even the smallest payload has {needed} bytes"
        )

    @abstractmethod
    def _wrap(self, keys: str, alert: tuple[str, str] | None, batch: Batch) -> str:
        """Return the JSON of a payload.

        Args:
            keys: The keys of `data` and their values as JSON, without the braces around them.
            alert: The title and the body of what the phone shows; None for a payload that shows nothing.
            batch: The batch.
        """

    def measure(self, content: bytes) -> int:
        """Count the bytes of a payload as the service does."""
        return len(content)

    @property
    def history(self) -> int:
        """How many characters of the text before it each batch should bring along."""
        return {"delta": 0, "tail": TAIL, "snapshot": self.max_payload_bytes}[self.mode]

    def payload(self, batch: Batch) -> dict[str, Any]:
        """Put a batch into its envelope.

        Args:
            batch: With its numbers: stream_id, seq, offset, crc, and in the final one total and finish_reason.

        Returns:
            The push; all values of its `data` are strings.

        Raises:
            InvalidArgument: If a field of the batch is of the wrong kind, or the callable for the title or the body
                returned something else than a string.
        """
        payload: dict[str, Any] = json.loads(self.encode(batch))
        return payload

    def _assemble(self, batch: Batch, text: str, offset: int, alert: tuple[str, str] | None) -> bytes:
        """Write the JSON piece by piece, which takes half the time of an encoder that has to find the pieces."""
        mode = "delta" if self.mode == "delta" else "tail" if offset else "snapshot"
        final = ""
        if batch.final:
            final = f',"total":"{batch.total or 0}","reason":{json_string(batch.finish_reason or "")}'
            if self.ref:
                final += f',"ref":{json_string(self.ref)}'
        content = self._wrap(
            f'"llm_response":{json_string(text)},"chunk_id":"chunk_{batch.seq:03d}"'
            f'{self._own_keys}{json_string(batch.stream_id)},"epoch":"{batch.epoch}","seq":"{batch.seq}",'
            f'"offset":"{offset}","mode":"{mode}","state":{json_string(batch.state)},"crc":"{batch.crc:08x}"{final}',
            alert,
            batch,
        )
        try:
            return content.encode()
        except UnicodeEncodeError:  # there are halves of surrogate pairs
            return join_surrogates(content).encode()

    def encode(self, batch: Batch) -> bytes:
        """Encode a batch to the bytes that are sent: compact JSON in raw UTF-8.

        As much of the text before it is put in front of its text as the mode asks for and as fits. The result is
        larger than `max_payload_bytes` only where the batch's own text does not fit.

        Args:
            batch: As for `payload`.

        Returns:
            The body of the request.

        Raises:
            InvalidArgument: As `payload`.
        """
        _check_batch(batch)
        before = batch.before[-self.history :] if self.history else ""
        content = self._encode(batch, before)
        if not before or self.measure(content) <= self.max_payload_bytes:
            return content
        content = self._encode(batch, "")
        fits, too_many = 0, len(before)
        while too_many - fits > 1:
            n = (fits + too_many) // 2
            longer = self._encode(batch, before[-n:])
            if self.measure(longer) <= self.max_payload_bytes:
                fits, content = n, longer
            else:
                too_many = n
        return content

    def _encode(self, batch: Batch, before: str) -> bytes:
        text, offset = before + batch.text, batch.offset
        if before:
            offset -= utf8_size(before)
        alert = None
        if self.alert == "all" or batch.final:
            if before and not (isinstance(self.title, str) and isinstance(self.body, str)):
                batch = evolve(batch, text=text, offset=offset, before="")
            alert = _caption("title", self.title, batch), _caption("body", self.body, batch)
        return self._assemble(batch, text, offset, alert)

    def fit(self, batch: Batch) -> int:
        """Count the characters of a batch's text that go into one payload, together with everything around them.

        Args:
            batch: With the numbers that it will have when it is sent.

        Returns:
            At least one character, and whole clusters where possible; 0 for a batch without text.

        Raises:
            InvalidArgument: If `max_payload_bytes` leaves no room for a character, or as `payload`.
        """
        _check_batch(batch)
        n = largest_fit(batch, self.encode, self.max_payload_bytes, self.measure)
        smallest = 0 if n else self.measure(self.encode(evolve(batch, text=batch.text[:1], before="")))
        if smallest > self.max_payload_bytes:
            problem = f"leaves no room for text: with at most one character of it the payload has {smallest} bytes"
            raise InvalidArgument("max_payload_bytes", problem)
        return n


@define(frozen=True)
class Envelope(PayloadEncoder):
    """What is the same around all the batches of a stream, for a push of Genesys Cloud.

    Args:
        targets: Device tokens.
        title: What the notification is headed, or a callable that says it for a batch.
        body: What the notification reads, likewise.
        data: The caller's own keys for every payload, strings to strings.
        ref: Where the receiver can fetch the whole text, for the final payload; an id or a URL.
        mode: What the payloads hold: "delta", each the new text alone; "tail", the new text and up to `TAIL` characters
            before it; or "snapshot", the new text and all that was said before it, as far as it fits. What repeats the
            text before makes up for payloads that were lost. A payload says itself what it is.
        alert: Which payloads have a title and a body: the "final" one alone, so that those of the others are empty and
            the phone shows one notification; or "all".
        max_payload_bytes: The limit for one encoded payload.

    Raises:
        InvalidArgument: If an argument is of the wrong kind, a key of `data` is one of the library's own, or
            `max_payload_bytes` has no room for text beside what is the same for all batches.
    """

    targets: Sequence[str] = field(converter=check_targets, repr=lambda targets: f"<{len(targets)} targets>")
    _head: str = field(init=False, repr=False, eq=False)

    def _prepare(self) -> None:
        object.__setattr__(self, "_head", '{"targets":[' + ",".join(map(json_string, self.targets)) + '],"title":')

    def _no_room(self, needed: int) -> InvalidArgument:
        targets = len(dumps(list(self.targets)))
        if len(self.targets) == 1 or needed - targets >= self.max_payload_bytes:
            return PayloadEncoder._no_room(self, needed)
        problem = (
            f"leave no room for text: with all {len(self.targets)} even the smallest payload has {needed} bytes, "
            f"and max_payload_bytes is {self.max_payload_bytes}; name fewer of them, or raise max_payload_bytes"
        )
        return InvalidArgument("targets", problem)

    def _wrap(self, keys: str, alert: tuple[str, str] | None, batch: Batch) -> str:  # noqa: ARG002 - the base's
        title, body = alert or ("", "")
        return f'{self._head}{json_string(title)},"body":{json_string(body)},"data":{{{keys}}}}}'


def largest_fit(
    batch: Batch, encode: Callable[[Batch], bytes], max_bytes: int, measure: Callable[[bytes], int] = len
) -> int:
    """Count the characters of a batch's text that go into one payload, measured on its bytes.

    Args:
        batch: The batch.
        encode: Makes its payload.
        max_bytes: The largest payload, in bytes.
        measure: Counts the bytes of a payload.

    Returns:
        Whole clusters where possible; 0 if not even one character fits.
    """
    text = batch.text

    def fits(n: int) -> bool:
        return measure(encode(evolve(batch, text=text[:n], before=""))) <= max_bytes

    if len(text) <= max_bytes and fits(len(text)):
        return len(text)
    # Titles and bodies may be made of the text, and escapes take room, so sizes are measured, never computed.
    most, too_many = 0, min(len(text), max_bytes + 1)
    while too_many - most > 1:
        n = (most + too_many) // 2
        most, too_many = (n, too_many) if fits(n) else (most, n)
    cut = last_cut(text[: most + 1], most)
    return cut if cut and fits(cut) else most


def _caption(name: str, caption: Caption, batch: Batch) -> str:
    if isinstance(caption, str):
        return caption
    made = caption(batch)
    if not isinstance(made, str):
        raise InvalidArgument(name, f"must be made by its callable as a string, got {type_name(made)}")
    return made

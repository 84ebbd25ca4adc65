"""What the phone gets, and that it fits."""

import json
import zlib

import pytest
from attrs import evolve
from hypothesis import given, strategies as st
from tests.strategies import unicode_texts

from genesys_stream._core.relaying.payload import RESERVED, Envelope, check_max_payload_bytes, encode_push
from genesys_stream._core.text import last_cut
from genesys_stream._errors import InvalidArgument
from genesys_stream._values import Batch
from genesys_stream._wire import dumps, join_surrogates

whole_texts = unicode_texts.map(join_surrogates)
BATCH = Batch("Go concurrency", stream_id="01JD", seq=1, offset=0, crc=0x1A2B)


def test_a_payload_is_the_tutorials_and_more():
    """Its first two keys keep their meaning, and every value is a string."""
    payload = Envelope(["token"], alert="all").payload(BATCH)

    assert payload == {
        "targets": ["token"],
        "title": "LLM Stream Update",
        "body": "Received 14 characters",
        "data": {
            "llm_response": "Go concurrency",
            "chunk_id": "chunk_001",
            "v": "1",
            "stream_id": "01JD",
            "epoch": "1",
            "seq": "1",
            "offset": "0",
            "mode": "delta",
            "state": "streaming",
            "crc": "00001a2b",
        },
    }


def test_the_final_payload_says_how_it_ended():
    """It has the total, the reason, and where to fetch the whole."""
    final = evolve(BATCH, text="", state="complete", total=3120, finish_reason="stop", seq=1000)
    data = Envelope(("a", "b"), ref="answers/7", mode="delta").payload(final)["data"]
    bare = Envelope(["a"]).payload(evolve(final, finish_reason=None))["data"]

    assert (data["total"], data["reason"], data["ref"]) == ("3120", "stop", "answers/7")
    assert (data["state"], data["mode"], data["chunk_id"]) == ("complete", "delta", "chunk_1000")
    assert bare["reason"] == ""
    assert "ref" not in bare
    assert data.keys() <= RESERVED


def test_only_the_end_may_ring():
    """The pieces of a growing answer can go in silence; they have their text all the same."""
    envelope = Envelope(["a"], title="Your answer")
    piece, end = envelope.payload(BATCH), envelope.payload(evolve(BATCH, state="complete", total=14))

    assert (piece["title"], piece["body"]) == ("", "")
    assert piece["data"]["llm_response"] == "Go concurrency"
    assert (end["title"], end["body"]) == ("Your answer", "Received 14 characters")
    assert Envelope(["a"], title="Your answer", alert="all").payload(BATCH)["title"] == "Your answer"


def test_the_callers_words_and_keys_go_along():
    """A title and a body may be made for each batch, and keys of one's own are merged in."""
    envelope = Envelope(["a"], title=lambda b: f"No. {b.seq}", body="Answer", data={"conversation": "c-1"}, alert="all")
    payload = envelope.payload(BATCH)

    assert (payload["title"], payload["body"]) == ("No. 1", "Answer")
    assert payload["data"]["conversation"] == "c-1"
    assert "token" not in repr(Envelope(["token"], data={"secret": "x"}))
    assert "secret" not in repr(Envelope(["token"], data={"secret": "x"}))


def test_bytes_are_raw_utf8():
    """Nothing is escaped that need not be, and the phone reads what was said."""
    encoded = Envelope(["a"]).encode(evolve(BATCH, text='你好 👍 "x"\n'))

    assert '你好 👍 \\"x\\"\\n'.encode() in encoded
    assert json.loads(encoded)["data"]["llm_response"] == '你好 👍 "x"\n'


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"targets": "token"}, r"targets must be a list .* write \[token\]"),
        ({"targets": {"a"}}, "targets must be a list of device tokens, got set"),
        ({"targets": []}, "at least one"),
        ({"targets": ["a", None]}, r"targets\[1\] must be a string, got None"),
        ({"targets": ["a", " "]}, r"targets\[1\] must not be empty"),
        ({"title": None}, "title must be a string"),
        ({"body": 7}, "body must be a string"),
        ({"data": ["a"]}, "data must be a mapping"),
        ({"data": {1: "a"}}, "data must have strings for keys"),
        ({"data": {"user": {"name": "N."}}}, r"data\['user'\] must be a string, got dict; make JSON of it"),
        ({"data": {"seq": "1"}}, r"data\['seq'\] is set by this library"),
        *(
            ({"data": {key: "1"}}, rf"data\['{key}'\] is reserved by FCM")
            for key in ("from", "message_type", "google.sent_time", "gcm.notification.title")
        ),
        ({"ref": None}, "ref must be a string"),
        ({"mode": "cumulative"}, "mode must be 'delta'"),
        ({"alert": True}, "alert must be 'all' or 'final'"),
        ({"max_payload_bytes": 0}, "max_payload_bytes must be a number of bytes"),
        ({"max_payload_bytes": True}, "max_payload_bytes must be"),
    ],
)
def test_what_will_not_do_is_refused_by_name(arguments, complaint):
    """The error names the argument, and the field in it."""
    with pytest.raises(InvalidArgument, match=complaint):
        Envelope(**{"targets": ["a"], **arguments})


def test_a_caption_that_is_no_string_is_refused():
    """Whatever its callable returned."""
    with pytest.raises(InvalidArgument, match="body must be made by its callable as a string, got int"):
        Envelope(["a"], body=lambda batch: 7, alert="all").encode(BATCH)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("text", 5, "must be str, not int"),
        ("stream_id", None, "must be str, not None"),
        ("seq", "1", "must be int, not str"),
        ("offset", None, "must be int, not None"),
        ("crc", 0.5, "must be int, not float"),
        ("total", "9", "must be int or None, not str"),
        ("finish_reason", 5, "must be str or None, not int"),
    ],
)
def test_a_batch_of_the_wrong_kind_is_refused_by_its_field(field, value, complaint):
    """A batch checks nothing itself; whoever puts it into a payload hears which field will not do."""
    envelope, batch = Envelope(["a"]), evolve(BATCH, **{field: value})
    for ask in (envelope.payload, envelope.encode, envelope.fit):
        with pytest.raises(InvalidArgument) as caught:
            ask(batch)

        assert caught.value.argument == f"batch.{field}"
        assert str(caught.value).endswith(complaint)


def test_a_push_of_ones_own_is_checked():
    """Nested values are refused with the field's name, or written as JSON when asked."""
    data = {"user": {"name": "Zoë"}, "n": 3, "plain": "as it is", "none": None}

    assert encode_push(("a",), "T", "B") == b'{"targets":["a"],"title":"T","body":"B","data":{}}'
    assert json.loads(encode_push(["a"], "T", "B", data, stringify=True))["data"] == {
        "user": '{"name":"Zoë"}',
        "n": "3",
        "plain": "as it is",
        "none": "null",
    }
    with pytest.raises(InvalidArgument, match=r"data\['user'\]") as caught:
        encode_push(["a"], "T", "B", data)
    with pytest.raises(InvalidArgument, match=r"data\['o'\] cannot be written as JSON"):
        encode_push(["a"], "T", "B", {"o": {1, 2}}, stringify=True)
    with pytest.raises(InvalidArgument, match="title must be a string, got bytes"):
        encode_push(["a"], b"T", "B")
    assert caught.value.argument == "data['user']"
    assert "Zoë" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "argument"),
    [
        ({"body": "x" * 3600}, "body"),
        ({"data": {"n": "1"}, "title": "x" * 3600}, "title"),
        ({"data": {"x": "é" * 1800}}, "data"),
        ({"targets": ["f" * 163] * 25}, "targets"),
    ],
)
def test_a_push_of_ones_own_that_is_too_large_is_refused(fields, argument):
    """The error names what takes the most room, and the sizes, but shows none of it; the limit may be raised."""
    push = {"targets": ["a"], "title": "T", "body": "B", **fields}
    with pytest.raises(
        InvalidArgument, match=r"is too large: it takes \d+ of \d+ bytes, and max_payload_bytes is 3584"
    ) as caught:
        encode_push(**push)

    assert caught.value.argument == argument
    assert "xxx" not in str(caught.value)
    assert len(encode_push(**push, max_payload_bytes=5000)) > 3584


@pytest.mark.parametrize("key", ["from", "message_type", "google.x", "gcm.x"])
def test_the_keys_of_fcm_are_refused(key):
    """A push of one's own may not have them either; what only looks like them is allowed."""
    with pytest.raises(InvalidArgument, match="is reserved by FCM"):
        encode_push(["a"], "T", "B", {key: "1"})

    assert encode_push(["a"], "T", "B", {"from_whom": "1", "googled": "1", "gcm": "1"})


awkward = unicode_texts | st.text(st.characters())


@given(
    st.builds(
        Batch,
        awkward,
        stream_id=awkward,
        epoch=st.integers(1, 99),
        seq=st.integers(0, 10**5),
        offset=st.integers(0, 10**6),
        before=awkward,
        state=st.sampled_from(["streaming", "complete"]),
        crc=st.integers(0, 2**32 - 1),
        total=st.none() | st.integers(0, 9),
        finish_reason=st.none() | awkward,
    ),
    st.dictionaries(awkward.map(lambda key: "own " + key), awkward, max_size=2),
    awkward,
    awkward,
    st.sampled_from(["all", "final"]),
)
def test_the_bytes_are_those_of_a_json_encoder(batch, data, title, ref, alert):
    """Compact, nothing escaped that need not be, halves of surrogate pairs joined or replaced."""
    envelope = Envelope(["a", "b"], title=title, data=data, ref=ref, alert=alert, max_payload_bytes=10**6)
    loud = batch.final or alert == "all"
    end = {"total": str(batch.total or 0), "reason": batch.finish_reason or "", **({"ref": ref} if ref else {})}

    assert envelope.encode(batch) == dumps(
        {
            "targets": ["a", "b"],
            "title": title if loud else "",
            "body": f"Received {len(batch.text)} characters" if loud else "",
            "data": {
                "llm_response": batch.text,
                "chunk_id": f"chunk_{batch.seq:03d}",
                **data,
                "v": "1",
                "stream_id": batch.stream_id,
                "epoch": str(batch.epoch),
                "seq": str(batch.seq),
                "offset": str(batch.offset),
                "mode": "delta",
                "state": batch.state,
                "crc": f"{batch.crc:08x}",
                **(end if batch.final else {}),
            },
        }
    )


class Text(str):  # noqa: SLOT000 - as those of others are
    """A string of another class, as some libraries have them."""


def test_subclasses_are_taken():
    """What is a string is a string."""
    assert Envelope(["a"]).encode(evolve(BATCH, text=Text("x"))) == Envelope(["a"]).encode(evolve(BATCH, text="x"))


def test_a_caption_sees_what_is_repeated():
    """A title that is made for a batch is made of the text that the payload holds."""
    envelope = Envelope(["a"], mode="tail", alert="all", body=lambda b: f"{b.text}|{b.offset}|{b.before}")
    batch = Batch("new", offset=5, before="olds ", stream_id="s", seq=2)

    assert envelope.payload(batch)["body"] == "olds new|0|"


captions = st.sampled_from(
    ["", "Answer", "Ä" * 40, lambda b: f"{len(b.text)}", lambda b: b.text[:30], lambda b: b.text]
)


@given(text=whole_texts, title=captions, body=captions, room=st.integers(0, 200), final=st.booleans())
def test_what_fits_fits(text, title, body, room, final):
    """Every payload is within its limit, envelope and escapes included, and no cluster is cut that need not be."""
    batch = evolve(BATCH, text=text, state="complete" if final else "streaming", total=len(text.encode()))
    empty = len(Envelope(["a"], title=title, body=body, alert="all").encode(evolve(batch, text="")))
    try:
        envelope = Envelope(["a"], title=title, body=body, alert="all", max_payload_bytes=empty + room)
    except InvalidArgument:
        assert room < 30  # which the last payload needs, whatever this one does
        return
    try:
        n = envelope.fit(batch)
    except InvalidArgument:
        assert len(envelope.encode(evolve(batch, text=text[:1]))) > empty + room
        return
    cut = evolve(batch, text=text[:n])

    assert len(dumps(envelope.payload(cut))) == len(envelope.encode(cut)) <= empty + room
    assert (n > 0) == (text != "")
    if n < len(text):
        assert last_cut(text, n) in (0, n)
        assert len(envelope.encode(evolve(batch, text=text))) > empty + room


def test_as_much_as_possible_goes_along():
    """One more character would be too many, and a text beyond all bounds is measured no further than it must be."""
    envelope = Envelope(["a"], body="b", alert="all", max_payload_bytes=400)
    batch = evolve(BATCH, text="\n" * 10_000_000)
    n = envelope.fit(batch)

    assert len(envelope.encode(evolve(batch, text="\n" * n))) in (399, 400)


def test_a_cut_is_no_cut_if_it_does_not_fit():
    """Better half a cluster than a payload that is refused, should a caption grow as the text shrinks."""
    envelope = Envelope(
        ["a"], title="", alert="all", body=lambda b: "x" * (99 * (len(b.text) < 8)), max_payload_bytes=240
    )
    text = "1234567" + "e\u0301" * 40

    assert len(envelope.encode(evolve(BATCH, text=text[: envelope.fit(evolve(BATCH, text=text))]))) <= 240


def test_no_room_is_said_before_anything_is_sent():
    """The error says how large the payload is, also where a caption takes the room, which only a batch shows."""
    envelope = Envelope(["a"], body=lambda batch: "x" * 300, alert="all", max_payload_bytes=400)
    for text in ("Go", ""):
        with pytest.raises(InvalidArgument, match=r"max_payload_bytes leaves no room for text: .* has [0-9]+ bytes"):
            envelope.fit(evolve(BATCH, text=text))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"targets": ["f" * 163] * 25}, r"targets leave .* all 25 .* name fewer of them, or raise max_payload_bytes$"),
        ({"max_payload_bytes": 100}, "max_payload_bytes leaves no room for text: even the smallest payload has "),
        ({"title": "x" * 3400}, "max_payload_bytes leaves no room"),
        ({"data": {"x": "x" * 3400}, "targets": ["a", "b"]}, "max_payload_bytes leaves no room"),
        ({"ref": "x" * 3400}, "max_payload_bytes leaves no room"),
        ({"body": "x" * 3400, "alert": "final"}, "max_payload_bytes leaves no room"),
    ],
)
def test_an_envelope_without_room_is_refused_at_once(arguments, complaint):
    """What is the same for all batches is measured before anybody asks for a completion, the final payload's too."""
    with pytest.raises(InvalidArgument, match=complaint) as caught:
        Envelope(**{"targets": ["a"], **arguments})

    assert caught.value.argument == complaint.split(" ")[0]
    Envelope(**{"targets": ["a"], **arguments, "max_payload_bytes": 5000})


def test_a_limit_above_that_of_the_service():
    """It is refused with the service's own; what is no number of bytes is for the envelope to refuse."""
    for fine in (1, 4096, "large"):
        check_max_payload_bytes(fine, 4096, "FCM")
    with pytest.raises(InvalidArgument, match="max_payload_bytes must be at most 4096, which FCM takes; got 4097"):
        check_max_payload_bytes(4097, 4096, "FCM")


def test_crc_is_the_one_that_zlib_computes():
    """Eight digits, zeros in front."""
    batch = evolve(BATCH, crc=zlib.crc32(b"abc"))

    assert Envelope(["a"]).payload(batch)["data"]["crc"] == "352441c2"


@given(whole_texts, whole_texts, st.sampled_from(["tail", "snapshot"]), st.integers(400, 900))
def test_what_was_said_before_is_repeated_as_far_as_it_fits(before, text, mode, limit):
    """A tail or a snapshot ends with the new text, begins in the old one, says where, and fits."""
    before, text = before * 20, text[:20]
    batch = Batch(text, offset=len(before.encode()), before=before, stream_id="s", seq=2)
    envelope = Envelope(["a"], mode=mode, max_payload_bytes=limit)

    data = envelope.payload(batch)["data"]

    repeated = data["llm_response"].removesuffix(text)
    assert (before + text).endswith(data["llm_response"])
    assert int(data["offset"]) == len(before.encode()) - len(repeated.encode())
    assert data["mode"] == ("snapshot" if data["offset"] == "0" else "tail")
    assert not repeated or len(envelope.encode(batch)) <= limit


def test_a_snapshot_that_fits_is_whole():
    """As long as everything fits, a snapshot is all that a phone needs."""
    batch = Batch("and go", offset=5, before="ready", stream_id="s", seq=2)

    data = Envelope(["a"], mode="snapshot").payload(batch)["data"]

    assert (data["llm_response"], data["offset"], data["mode"]) == ("readyand go", "0", "snapshot")


def test_a_delta_repeats_nothing():
    """The tutorial's contract: each payload is the new text alone."""
    envelope = Envelope(["a"])
    batch = Batch("and go", offset=5, before="ready", stream_id="s", seq=2)

    assert envelope.history == 0
    assert envelope.payload(batch)["data"]["llm_response"] == "and go"

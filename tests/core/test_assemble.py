"""The receiving side: any order, any duplication, and honest about what is missing."""

import json
import zlib

import pytest
from attrs import evolve
from hypothesis import given, strategies as st
from tests.core.virtual import run
from tests.strategies import deltas, unicode_texts

from genesys_stream._core.relaying.assemble import StreamAssembler
from genesys_stream._core.relaying.coalescers.basic import TimeSize
from genesys_stream._core.relaying.payload import Envelope
from genesys_stream._errors import InvalidArgument
from genesys_stream._values import Batch
from genesys_stream._wire import join_surrogates


def payloads(texts, *, mode="delta", epoch=1, stream_id="s", state="complete"):
    """Number texts as a relay does; the last one is final."""
    out = []
    said = ""
    for seq, text in enumerate(texts, 1):
        offset = len(said.encode())
        said += text
        shown = {"delta": (text, offset), "tail": (said[-8:], len(said[:-8].encode())), "snapshot": (said, 0)}[mode]
        batch = Batch(
            shown[0],
            offset=shown[1],
            stream_id=stream_id,
            epoch=epoch,
            seq=seq,
            crc=zlib.crc32(said.encode()),
        )
        if seq == len(texts):
            batch = evolve(batch, state=state, total=len(said.encode()), finish_reason="stop")
        out.append(json.loads(Envelope(["a"], mode=mode, ref="r").encode(batch)))
    return out


@given(
    texts=st.lists(unicode_texts.map(join_surrogates), min_size=1, max_size=8),
    mode=st.sampled_from(["delta", "tail", "snapshot"]),
    data=st.data(),
)
def test_any_order_any_duplication(texts, mode, data):
    """Once every payload came at least once, the text is there, whatever came in between."""
    sent = payloads(texts, mode=mode)
    extra = data.draw(st.lists(st.sampled_from(sent)))
    whole = "".join(texts)
    assembler = StreamAssembler()
    for payload in data.draw(st.permutations(sent + extra)):
        before = (assembler.text, assembler.state, assembler.missing, assembler.epoch)
        changed = assembler.receive(payload)
        after = (assembler.text, assembler.state, assembler.missing, assembler.epoch)
        assert whole.startswith(assembler.text)
        assert not assembler.suspect
        assert changed or before == after

    assert assembler.text == whole or mode == "tail"
    assert assembler.complete == (not assembler.missing)
    assert assembler.complete or mode == "tail"
    assert (assembler.state, assembler.reason, assembler.ref) == ("complete", "stop", "r")
    assert assembler.total == len(whole.encode())


@given(texts=st.lists(st.text(min_size=1), min_size=2, max_size=8), data=st.data())
def test_what_is_missing_is_known(texts, data):
    """The gaps are exactly the bytes that did not come, and with a gap nothing is complete."""
    *sent, final = payloads([*texts, ""])
    lost = data.draw(st.sets(st.integers(0, len(sent) - 1), min_size=1))
    assembler = StreamAssembler("s")
    for payload in [*(payload for i, payload in enumerate(sent) if i not in lost), final]:
        assembler.receive(payload["data"])
    expected = bytearray(assembler.total)
    for i in lost:
        offset, size = int(sent[i]["data"]["offset"]), len(texts[i].encode())
        expected[offset : offset + size] = b"x" * size
    missing = bytearray(assembler.total)
    for start, end in assembler.missing:
        assert start < end
        missing[start:end] = b"x" * (end - start)

    assert missing == expected
    assert assembler.text == "".join(texts[: min(lost)])
    assert not assembler.complete
    assert not assembler.suspect


@given(deltas=deltas())
def test_from_a_coalescer_to_the_phone(deltas):
    """What was said is what is shown."""
    result = run(TimeSize(0.25, 9), deltas)
    assembler = StreamAssembler()
    for payload in payloads([*result.texts, ""]):
        assert assembler.receive(payload) or payload["data"]["llm_response"] == ""

    assert assembler.complete
    assert assembler.text == result.text


def test_nothing_yet():
    """An assembler that has heard nothing is neither complete nor suspect."""
    assembler = StreamAssembler()

    assert (assembler.text, assembler.state, assembler.missing) == ("", "streaming", ())
    assert (assembler.total, assembler.reason, assembler.ref) == (None, "", "")
    assert (assembler.stream_id, assembler.epoch) == (None, None)
    assert not assembler.complete
    assert not assembler.suspect


def test_a_later_epoch_begins_anew():
    """It clears what was there, and the earlier epoch's stragglers change nothing."""
    first, second = payloads(["one ", "two"]), payloads(["uno"], epoch=2)
    assembler = StreamAssembler()
    changes = [assembler.receive(payload) for payload in (first[1], second[0], first[0])]

    assert changes == [True, True, False]
    assert (assembler.text, assembler.epoch, assembler.complete) == ("uno", 2, True)


def test_contradictions_are_suspect():
    """Of two texts for the same place the later stays, in either order, and the checksum is not believed."""
    a, b = (payloads([text, "!"]) for text in ("Hello", "Jello"))
    b[0]["data"]["seq"] = "9"
    for order in ([a[0], b[0], a[1]], [b[0], a[0], a[1]]):
        assembler = StreamAssembler()
        for payload in order:
            assembler.receive(payload)
        assert (assembler.text, assembler.suspect, assembler.complete) == ("Jello!", True, False)


def test_pieces_that_overlap_fit_together():
    """A piece between two others fills the gap, and what both have is compared."""
    sent = payloads(["abcd", "efgh", "ijkl", "mnop"])
    middle = payloads(["abcdefghijkl"])[0]
    middle["data"].update(llm_response="cdefghij", offset="2", seq="7", state="streaming")
    assembler = StreamAssembler()
    changes = [assembler.receive(payload) for payload in (sent[0], sent[2], middle, middle, sent[1], sent[3])]

    assert changes == [True, True, True, False, False, True]
    assert (assembler.text, assembler.complete, assembler.suspect) == ("abcdefghijklmnop", True, False)


def test_a_wrong_checksum_or_length_is_suspect():
    """All bytes are there, but they are not those that were sent."""
    (whole,) = payloads(["abc"])
    whole["data"]["crc"] = "00000000"
    assembler = StreamAssembler()
    assembler.receive(whole)
    longer = StreamAssembler()
    for payload in [payloads(["abcdef", ""])[0], *payloads(["abc"])]:
        longer.receive(payload)

    assert (assembler.complete, assembler.suspect) == (False, True)
    assert (longer.complete, longer.suspect) == (False, True)


def test_of_two_ends_the_later_counts():
    """A stream that was cancelled after all is cancelled."""
    done, cancelled = payloads(["a", ""]), payloads(["a", "", ""], state="cancelled")
    assembler = StreamAssembler()
    for payload in (*done, cancelled[2], done[1]):
        assembler.receive(payload)

    assert (assembler.state, assembler.complete) == ("cancelled", True)


def test_half_a_character_is_not_shown():
    """A contradiction that cuts a character leaves U+FFFD in its place."""
    first, second = payloads(["a\u00e9", ""])[0], payloads(["aa", "\u00e9", ""])[1]
    second["data"]["seq"] = "9"
    assembler = StreamAssembler()
    assembler.receive(first)
    assembler.receive(second)

    assert (assembler.text, assembler.suspect) == ("a\ufffd\u00e9", True)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"v": "2"}, r"data\['v'\] must be one of 1"),
        ({"mode": "patch"}, r"data\['mode'\] must be one of delta, snapshot, tail"),
        ({"state": "done"}, r"data\['state'\]"),
        ({"llm_response": None}, r"data\['llm_response'\] must be a string, got None"),
        ({"llm_response": "\ud83d"}, r"data\['llm_response'\] holds half"),
        ({"seq": 1}, r"data\['seq'\] must be a string, got int"),
        ({"seq": "-1"}, r"data\['seq'\] must be a decimal number"),
        ({"epoch": "١"}, r"data\['epoch'\]"),
        ({"offset": "9" * 16}, r"data\['offset'\]"),
        ({"crc": "ABCDEF12"}, r"data\['crc'\]"),
        ({"total": "99"}, r"data\['total'\] must be where"),
        ({"ref": 5}, r"data\['ref'\]"),
        ({"stream_id": "other"}, r"data\['stream_id'\] is that of another stream"),
        ({"mode": "snapshot", "offset": "1", "total": "4"}, r"data\['offset'\] must be 0"),
    ],
)
def test_what_cannot_be_read_changes_nothing(change, complaint):
    """The error names the key, and the text stays as it was."""
    (payload,) = payloads(["abc"])
    assembler = StreamAssembler("s")
    payload["data"].update(change)
    with pytest.raises(InvalidArgument, match=complaint):
        assembler.receive(payload)

    assert (assembler.text, assembler.epoch, assembler.stream_id) == ("", None, "s")


def test_what_is_no_mapping_is_refused():
    """Nor is a payload without anything of ours in it."""
    with pytest.raises(InvalidArgument, match="payload must be a mapping, got list"):
        StreamAssembler().receive([])
    with pytest.raises(InvalidArgument, match="must be a string, got None"):
        StreamAssembler().receive({"data": {}})


def test_arrival_in_order_costs_no_more_than_the_text():
    """20 000 payloads are quickly received, whether or not the text is looked at now and then."""
    assembler = StreamAssembler()
    for i, payload in enumerate(payloads(["word " for _ in range(20_000)])[:-1]):
        assembler.receive(payload)
        if i % 100 == 0:
            assert len(assembler.text) == 5 * (i + 1)

    assert not assembler.missing

"""The event stream of the WHATWG HTML standard, sections 9.2.5 and 9.2.6, against the bytes of it, cut anywhere."""

import re
import time

import pytest
from hypothesis import example, given, strategies as st
from tests.strategies import cuts

from genesys_stream._core.reading.sse import EventDecoder
from genesys_stream._errors import EventTooLarge, InvalidArgument, StreamStateError
from genesys_stream._values import ServerSentEvent

BOM = b"\xef\xbb\xbf"
UNBOUNDED = 16 * 2**20


def reference(stream, limit=UNBOUNDED):
    """The standard's algorithm, written out over the whole stream: events, last event ID, retry, and whether it failed."""
    stream = stream.removeprefix(BOM)
    *sizes, _ = raw_lines = [len(line) + 1 for line in re.split(rb"\r\n|\r|\n", stream)]
    sizes = [*sizes, raw_lines[-1] - 1]
    *lines, _ = re.split(r"\r\n|\r|\n", stream.decode("utf-8", "replace"))
    events = []
    data = event_type = last_event_id = committed = ""
    retry = event_retry = None
    block = 0
    for line, size in zip([*lines, None], sizes, strict=True):
        block += size
        if line == "":
            block = 0
        if block > limit:
            return events, committed, retry, True
        if line is None:
            break
        if line == "":
            committed = last_event_id
            if data:
                events.append(ServerSentEvent(data[:-1], event_type or "message", committed, event_retry))
            data = event_type = ""
            event_retry = None
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                event_type = value
            elif name == "data":
                data += value + "\n"
            elif name == "id" and "\0" not in value:
                last_event_id = value
            elif name == "retry" and re.fullmatch("[0-9]+", value):
                retry = event_retry = min(int(value[-4000:]), 2**63 - 1)
    return events, committed, retry, False


def decode(pieces, limit=UNBOUNDED):
    """What a decoder makes of the pieces, in the reference's terms."""
    decoder = EventDecoder(max_event_bytes=limit)
    events = []
    failed = False
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        decoder.close()
    except EventTooLarge:
        failed = True
    assert failed == (decoder.error is not None)
    return events, decoder.last_event_id, decoder.retry, failed


def events_of(stream):
    """The stream's events, which must be the same whole, byte by byte, and in two pieces cut anywhere."""
    expected = decode([stream])

    assert expected == reference(stream)
    assert expected == decode([stream[i : i + 1] for i in range(len(stream))])
    for i in range(len(stream)):
        assert expected == decode([stream[:i], b"", stream[i:]])
    return expected[0]


def message(data, **fields):
    return ServerSentEvent(data, **fields)


class TestTheStandardsExamples:
    def test_three_messages(self):
        """9.2.2: "This is the first message." and so on, the second of two lines."""
        stream = (
            b"data: This is the first message.\n\n"
            b"data: This is the second message, it\ndata: has two lines.\n\n"
            b"data: This is the third message.\n\n"
        )

        assert [
            message("This is the first message."),
            message("This is the second message, it\nhas two lines."),
            message("This is the third message."),
        ] == events_of(stream)

    def test_named_events(self):
        """9.2.2: events have the type that they name."""
        stream = b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n"

        assert [
            message("73857293", event="add"),
            message("2153", event="remove"),
            message("113411", event="add"),
        ] == events_of(stream)

    def test_stock_ticker(self):
        """9.2.6: data lines are joined by line feeds."""
        assert [message("YHOO\n+2\n10")] == events_of(b"data: YHOO\ndata: +2\ndata: 10\n\n")

    def test_four_blocks(self):
        """9.2.6: a comment alone says nothing, an empty id resets, one space of two goes, the last block is discarded."""
        stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n"

        assert [message("first event", id="1"), message("second event")] == events_of(stream)
        assert [message("first event", id="1"), message("second event"), message(" third event")] == events_of(
            stream + b"\n"
        )

    def test_empty_data(self):
        """9.2.6: "data" alone is an empty event, twice it is one line feed, and an unfinished block is discarded."""
        assert [message(""), message("\n")] == events_of(b"data\n\ndata\ndata\n\ndata:")

    def test_optional_space(self):
        """9.2.6: the space after the colon is ignored if there is one."""
        assert [message("test"), message("test")] == events_of(b"data:test\n\ndata: test\n\n")

    def test_comments_keep_alive(self):
        """9.2.7: comments, sent every 15 seconds or so, say nothing."""
        assert events_of(b": keep-alive\n\n:\n\n") == []


class TestLines:
    @pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
    def test_every_line_end(self, end):
        """9.2.5: LF, CR and CRLF end a line."""
        stream = b"data: a\n\nevent: b\ndata: b\ndata\n\n: c\n\n".replace(b"\n", end)

        assert [message("a"), message("b\n", event="b")] == events_of(stream)

    def test_mixed_line_ends(self):
        """9.2.5: line ends may be mixed; LF CR is two of them."""
        assert [message("a"), message("b\nc"), message("d")] == events_of(
            b"data: a\r\n\rdata: b\ndata: c\n\r\ndata: d\n\r"
        )

    @pytest.mark.parametrize("other", ["\u2028", "\u2029", "\x85", "\v", "\f", "\x1c", "\x1d", "\x1e", "\0"])
    def test_nothing_else_ends_a_line(self, other):
        """9.2.5: what other standards take for line ends is text."""
        assert [message(f"a{other}b")] == events_of(f"data: a{other}b\n\n".encode())

    def test_blank_lines(self):
        """9.2.6: any number of blank lines is as good as one."""
        for number in range(2, 8):
            assert [message("a"), message("b")] == events_of(b"\ndata: a" + b"\n" * number + b"data: b\n\n")

    @pytest.mark.parametrize(
        "stream",
        [
            b"data: a\n\n",
            b"data: a\r\r",
            b"data: a\n\r",
            b"data: a\r\n\r",
            b"event: e\nid: 1\ndata: a\n: c\nretry: 1\n\n",
        ],
    )
    def test_prompt(self, stream):
        """9.2.5: an event is handed out with the last line end that it needs, not when the next bytes come."""
        for i in range(len(stream)):
            decoder = EventDecoder()
            decoder.feed(stream[:i])

            assert [event.data for event in decoder.feed(stream[i:])] == ["a"]

        decoder = EventDecoder()
        assert [0] * (len(stream) - 1) + [1] == [len(decoder.feed(bytes([byte]))) for byte in stream]

    def test_an_lf_after_a_cr_is_nothing_new(self):
        """9.2.5: the LF of a CRLF ends nothing when the CR came a read earlier, and empty reads do not matter."""
        decoder = EventDecoder()

        assert [message("a")] == decoder.feed(b"data: a\r\n\r")
        assert decoder.feed(b"") == []
        assert decoder.feed(b"\n") == []
        assert decoder.feed(b"data: b\r") == []
        assert [message("b")] == decoder.feed(b"\n\n")


class TestFields:
    def test_one_space_is_removed(self):
        """9.2.6: of the spaces after the colon one is removed, and no tab."""
        assert [message(" a"), message("\ta"), message(":a"), message(" ")] == events_of(
            b"data:  a\n\ndata:\ta\n\ndata::a\n\ndata:  \n\n"
        )

    def test_names_are_exact(self):
        """9.2.6: field names are neither trimmed nor folded, and unknown ones are ignored."""
        assert events_of(b" data: a\nData: a\ndata : a\ndatas: a\nDATA\n\n") == []

    def test_a_block_without_data_dispatches_nothing(self):
        """9.2.6: a block without data sets id and retry, and its type is forgotten."""
        decoder = EventDecoder()

        assert [message("a", id="7")] == decoder.feed(b"event: ping\nid: 7\nretry: 3000\n\ndata: a\n\n")
        assert decoder.last_event_id == "7"
        assert decoder.retry == 3000

    def test_the_last_of_two_types_counts(self):
        """9.2.6: a type replaces the one before; an empty one is "message" again."""
        assert [message("a", event="y"), message("a")] == events_of(
            b"event: x\nevent: y\ndata: a\n\nevent: x\nevent\ndata: a\n\n"
        )

    def test_ids(self):
        """9.2.6: an id stays until the next one, an empty one resets it, and one with NUL is ignored."""
        assert [message("a", id="1"), message("b", id="1"), message("c", id="1"), message("d")] == events_of(
            b"id: 1\ndata: a\n\ndata: b\n\nid: 2\0\ndata: c\n\nid:\ndata: d\n\n"
        )

    def test_an_id_counts_from_its_blank_line(self):
        """9.2.6: the id of an unfinished block is not the last event ID yet."""
        decoder = EventDecoder()
        decoder.feed(b"id: 1\n\nid: 2\n")

        assert decoder.last_event_id == "1"
        decoder.feed(b"\n")
        assert decoder.last_event_id == "2"

    @pytest.mark.parametrize("value", ["", "+5", "-5", "1_000", " 5", "5 ", "٣", "0x5", "5.0", "²"])
    def test_a_retry_that_is_not_digits(self, value):
        """9.2.6: a retry of anything but ASCII digits is ignored."""
        assert reference(f"retry: {value}\n\n".encode())[2:3] == (None,)
        decoder = EventDecoder()
        decoder.feed(f"retry: {value}\n\n".encode())

        assert decoder.retry is None

    def test_a_retry_counts_at_once(self):
        """9.2.6: the reconnection time is set when its line ends, whatever becomes of the block."""
        decoder = EventDecoder()
        decoder.feed(b"retry: 0010\n")

        assert decoder.retry == 10
        decoder.close()
        assert decoder.retry == 10

    def test_a_retry_belongs_to_its_event(self):
        """An event tells the retry of its own block only."""
        assert [message("a", retry=0), message("b")] == events_of(b"retry: 0\ndata: a\n\ndata: b\n\n")

    @pytest.mark.parametrize("value", [b"9" * 19, b"9" * 20, b"9" * 5000, b"1" + b"0" * 100_000])
    def test_an_absurd_retry(self, value):
        """A retry of any length is survived, and is never more than a 64-bit integer."""
        decoder = EventDecoder()
        decoder.feed(b"retry: " + value + b"\n\n")

        assert decoder.retry == 2**63 - 1

    def test_leading_zeros(self):
        """Zeros before a retry do not count, however many they are."""
        decoder = EventDecoder()
        decoder.feed(b"retry: " + b"0" * 5000 + b"12\n")

        assert decoder.retry == 12


class TestCharacters:
    def test_a_bom_is_stripped_once(self):
        """9.2.5: one byte order mark at the beginning goes; another one is text."""
        assert [message("a")] == events_of(BOM + b"data: a\n\n")
        assert [message("b")] == events_of(BOM + BOM + b"data: a\n\ndata: b\n\n")
        assert [message("\ufeffb")] == events_of(b"data: \xef\xbb\xbfb\n\n")

    def test_half_a_bom(self):
        """9.2.5: what only begins like a byte order mark is text, and is not lost."""
        assert [message("a")] == events_of(b"\xef\xbb\ndata: a\n\n")
        assert [message("a")] == events_of(b"\xef\n\ndata: a\n\n")
        assert events_of(b"\xef\xbb") == []

    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            (b"\xff", "\ufffd"),
            (b"\xf0\x9f\x98", "\ufffd"),
            (b"\xf0\x9f", "\ufffd"),
            (b"\xe2\x82x", "\ufffdx"),
            (b"\xc0\xaf", "\ufffd" * 2),
            (b"\xe0\x80\xaf", "\ufffd" * 3),
            (b"\xed\xa0\x80", "\ufffd" * 3),
            (b"\xf4\x90\x80\x80", "\ufffd" * 4),
            (b"\xe2\x82\xac\xf0\x9f\x98\x80", "\u20ac\U0001f600"),
        ],
    )
    def test_invalid_utf_8(self, raw, expected):
        """Encoding 4.1: each maximal part of a broken sequence becomes one U+FFFD, in data, type and id."""
        assert [message(expected, event=expected, id=expected)] == events_of(
            b"event: " + raw + b"\nid: " + raw + b"\ndata: " + raw + b"\n\n"
        )

    def test_a_line_end_breaks_a_character(self):
        """Encoding 4.1: a sequence that a line end interrupts does not go on in the next line."""
        assert [message("\ufffd\n\ufffd\ufffd")] == events_of(b"data: \xf0\x9f\ndata: \x98\x80\n\n")


_ALPHABET = [
    *(b"data", b"data: ", b"event", b"event: ", b"id", b"id: ", b"retry", b"retry: ", b":", b" "),
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b"\n\r", b"data: x\n\n", b": c\n\n"),
    *(
        BOM,
        b"\xef",
        b"\xbb",
        b"\xbf",
        b"\xf0\x9f",
        b"\x98\x80",
        b"\xff",
        b"\xc0",
        b"\xed\xa0\x80",
        b"\xe2\x80\xa8",
        b"\xc2\x85",
    ),
    *(b"\0", b"\v", b"\f", b"0", b"7", b"99", "٣".encode(), b"x", b"\t"),
]
streams = st.lists(st.sampled_from(_ALPHABET) | st.binary(max_size=2), max_size=30).map(b"".join)


class TestEveryCut:
    @given(st.data(), streams)
    def test_any_bytes_in_any_cuts(self, data, stream):
        """9.2.6: whatever the bytes and the cuts, the outcome is that of the algorithm on the whole stream."""
        expected = reference(stream)

        assert expected == decode([stream])
        assert expected == decode(data.draw(cuts(stream)))
        assert expected == decode([stream[i : i + 1] for i in range(len(stream))])

    @given(st.data(), streams, st.integers(1, 12))
    @example(None, b"data: ab\n\n", 9)
    @example(None, b"data: ab\n\n", 8)
    def test_any_bound(self, data, stream, limit):
        """Whatever the bound and the cuts, the same events come before the same failure."""
        expected = reference(stream, limit)

        assert expected == decode([stream], limit)
        assert expected == decode([stream[i : i + 1] for i in range(len(stream))], limit)
        if data is not None:
            assert expected == decode(data.draw(cuts(stream)), limit)


class TestBound:
    @pytest.mark.parametrize(
        "block",
        [
            b"data: aaaa\n",
            b"data: aaaa\r\n",
            b"data: aaa",
            b"data:\ndata:",
            b": comment\n",
            b": c\n: c\n: c",
            b"x" * 11,
            b"event: abc\n",
            b"id: 123456",
            b"\nx\ny\nzzzzzz\n",
        ],
    )
    def test_everything_since_the_blank_line_counts(self, block):
        """Data, comments, field names, unknown fields and the unfinished line count against the bound."""
        size = len(block.replace(b"\r\n", b"\n").lstrip(b"\n"))

        assert decode([block], size)[3] is False
        for pieces in ([block], [bytes([byte]) for byte in block]):
            assert decode(pieces, size - 1)[3] is True

    def test_events_before_it_are_not_lost(self):
        """Events that are complete in the read that goes too far are handed out before the error."""
        decoder = EventDecoder(max_event_bytes=20)

        events = decoder.feed(b"data: a\n\ndata: b\n\ndata: 123456789012345\n\ndata: c\n\n")

        assert [message("a"), message("b")] == events
        assert isinstance(decoder.error, EventTooLarge)
        with pytest.raises(EventTooLarge, match="max_event_bytes=20") as caught:
            decoder.feed(b"")
        assert caught.value.limit == 20

    def test_without_events_it_raises_at_once(self):
        """If there is nothing to hand out, the read that goes too far raises."""
        for stream in (b"data: 1234", b"data: 1234\n\ndata: a\n\n", b"\n\n: comment\n"):
            decoder = EventDecoder(max_event_bytes=8)
            with pytest.raises(EventTooLarge):
                decoder.feed(stream)

    def test_a_long_read_is_as_many_short_ones(self):
        """However long a read is, the events before the error come first, and then the error; or at once, if none."""
        little, large = b"data: a\n\n", b": " + b"x" * 90_000
        for before in (0, 1, 5_000):
            for after in (b"", b"\n\ndata: b\n\n", little * 5_000):
                stream = before * little + large + after
                decoder = EventDecoder(max_event_bytes=80_000)
                if before:
                    assert before * [message("a")] == decoder.feed(stream)
                with pytest.raises(EventTooLarge):
                    decoder.feed(b"" if before else stream)

        assert decode([little * 20_000 + b"data: \xe2"], 20) == reference(little * 20_000)

    def test_the_event_may_have_begun_in_an_earlier_read(self):
        """What earlier reads left unfinished counts with what completes it."""
        decoder = EventDecoder(max_event_bytes=12)
        decoder.feed(b"data: a\n")
        decoder.feed(b": b")

        assert decoder.error is None
        with pytest.raises(EventTooLarge):
            decoder.feed(b"cd\n\n")

    def test_failed_is_failed(self):
        """After the error every feed raises it, and close need not repeat it."""
        decoder = EventDecoder(max_event_bytes=8)
        for _ in range(3):
            with pytest.raises(EventTooLarge):
                decoder.feed(b"data: 12345678\n\n")

        decoder.close()
        with pytest.raises(EventTooLarge):
            decoder.feed(b"data: 1\n\n")

    def test_close_says_what_no_feed_has_said(self):
        """Close raises the error if the last feed handed out events instead, and only once."""
        decoder = EventDecoder(max_event_bytes=8)
        assert [message("a")] == decoder.feed(b"data: a\n\ndata: 12345678")

        with pytest.raises(EventTooLarge):
            decoder.close()
        decoder.close()

    def test_heartbeats_are_not_one_event(self):
        """Comments with blank lines between them may go on for ever."""
        decoder = EventDecoder(max_event_bytes=10)
        for _ in range(100):
            assert decoder.feed(b": ping\n\n" * 100) == []
        assert decoder.feed(b"\n" * 1000 + b"\r\n" * 1000) == []

        assert [message("a")] == decoder.feed(b"data: a\n\n")

    def test_reads_may_be_larger_than_events(self):
        """The bound is for events, not for reads."""
        decoder = EventDecoder(max_event_bytes=8)

        assert len(decoder.feed(b"data: a\n\n" * 1000)) == 1000

    @pytest.mark.parametrize("bad", [0, -1, "8", 8.0, None, True])
    def test_the_bound_is_a_positive_integer(self, bad):
        """A bound that bounds nothing is refused, by its name."""
        with pytest.raises(InvalidArgument, match="max_event_bytes") as caught:
            EventDecoder(max_event_bytes=bad)
        assert caught.value.argument == "max_event_bytes"


class TestUse:
    @pytest.mark.parametrize("type_", [bytes, bytearray, memoryview, type("B", (bytes,), {})])
    def test_bytes_of_every_type(self, type_):
        """Whatever holds bytes is taken, and may be reused afterwards."""
        decoder = EventDecoder()
        first = type_(b"data: a")

        assert decoder.feed(first) == []
        if type_ is bytearray:
            first[:] = b"XXXXXXX"
        assert [message("a")] == decoder.feed(type_(b"\n\n"))

    @pytest.mark.parametrize("bad", ["data: a\n\n", None, 3, [1]])
    def test_text_is_refused(self, bad):
        """What is not bytes is refused, by the argument's name."""
        with pytest.raises(InvalidArgument, match="data must be bytes") as caught:
            EventDecoder().feed(bad)
        assert caught.value.argument == "data"

    def test_close_discards(self):
        """9.2.6: an unfinished event is discarded at the end, and nothing can follow; close may be called twice."""
        decoder = EventDecoder()
        decoder.feed(b"id: 1\n\nid: 2\ndata: a\n")
        decoder.close()
        decoder.close()

        assert decoder.last_event_id == "1"
        with pytest.raises(StreamStateError):
            decoder.feed(b"\n")

    def test_events_are_frozen(self):
        """Events equal, hash, show and refuse changes as if their class had made them."""
        (event,) = EventDecoder().feed(b"event: e\nid: 1\nretry: 5\ndata: secret\n\n")
        same = ServerSentEvent("secret", "e", "1", 5)

        assert same == event
        assert hash(same) == hash(event)
        assert repr(same) == repr(event)
        with pytest.raises(AttributeError):
            event.data = "changed"


def _seconds(stream, size):
    """The CPU time for a stream in reads of one size, at best."""
    reads = [stream[i : i + size] for i in range(0, len(stream), size)]

    def once():
        decoder = EventDecoder()
        start = time.process_time()
        for read in reads:
            decoder.feed(read)
        return time.process_time() - start

    return min(once() for _ in range(3))


class TestLinear:
    @pytest.mark.parametrize(
        ("make", "size", "unit"),
        [
            (lambda n: b"data: " + b"x" * n + b"\n\n", 1024, 2**18),
            (lambda n: b"data: x\n" * (n // 8) + b"\n", 1024, 2**15),
            (lambda n: b"data: x\n" * (n // 8) + b"\n", 2**30, 2**15),
            (lambda n: b": comment\n" * (n // 10), 1024, 2**16),
            (lambda n: b"data: x\n\n" * (n // 9), 2**30, 2**15),
            (lambda n: b"data: " + b"x" * n + b"\n\n", 1, 2**12),
            (lambda n: b"data: x\r\r" * (n // 9), 7, 2**13),
        ],
        ids=["one line", "lines", "lines at once", "comments", "events at once", "bytes", "CR"],
    )
    def test_time_grows_with_the_bytes(self, make, size, unit):
        """Sixteen times the bytes take nowhere near the 256 times of a quadratic decoder."""
        assert _seconds(make(16 * unit), size) < 64 * max(_seconds(make(unit), size), 4e-4)

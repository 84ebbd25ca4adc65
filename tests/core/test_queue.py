"""The text that waits: what a strategy sees of it, and what becomes of its cuts."""

import math

import pytest
import regex
from hypothesis import given, strategies as st
from tests.strategies import deltas, unicode_texts

from genesys_stream import Artifact, Batcher, CompletionChunk, PassThrough, TimeSize
from genesys_stream._core.relaying.batcher import MAX_QUEUED, BatchState
from genesys_stream._core.relaying.queue import Piece, TextQueue, WaitingText, joined
from genesys_stream._core.text import prefix_length, utf8_size
from genesys_stream._errors import InvalidArgument
from genesys_stream._wire import join_surrogates

whole_texts = unicode_texts.map(join_surrogates)


def boundaries(text):
    """UAX #29's, by the package that we trust with them."""
    return [0, *(match.end() for match in regex.finditer(r"\X", text))]


class TestWaitingText:
    @given(deltas=deltas(), cuts=st.lists(st.integers(0, 9)), peeks=st.lists(st.integers(0, 99)))
    def test_what_goes_in_comes_out(self, deltas, cuts, peeks):
        """Sizes, times and counts are right at every moment, and the text is the deltas' text, pairs joined."""
        waiting = WaitingText()
        cuts, peeks = iter(cuts), iter(peeks)
        out = []
        said = ""
        for text, now in deltas:
            if waiting.add(text, now):
                said += waiting.added
            n = min(next(cuts, 0), waiting.length)
            if n:
                out.append(waiting.take(n, now))
                assert waiting.cut_at == now
            assert waiting.since(position := next(peeks, 0)) == said[max(position, waiting.start) :]
            left = said[waiting.start :]
            assert (waiting.length, waiting.size) == (len(left), utf8_size(left))
            assert not left or waiting.first_at <= waiting.last_at
            assert waiting.peek(position) == left[:position]
            assert waiting.text == left
        waiting.end(1e9)
        assert waiting.ended
        if waiting.length:
            out.append(waiting.take(waiting.length, 1e9))

        assert join_surrogates("".join(text for text, _ in deltas)) == "".join(piece.text for piece in out)
        assert (waiting.length, waiting.size, waiting.text) == (0, 0, "")

    @given(text=whole_texts, max_bytes=st.integers(4, 40))
    def test_fitting_whole_clusters(self, text, max_bytes):
        """As many clusters as fit; a part of the first if it alone is too large."""
        waiting = WaitingText()
        waiting.add(text, 0.0)
        fitting = [b for b in boundaries(text) if utf8_size(text[:b]) <= max_bytes]

        assert waiting.fit(max_bytes) == (max(fitting) or prefix_length(text, max_bytes))

    def test_text_since_a_position(self):
        """Counted from the beginning of the stream, whether it was joined before or not; without what is cut."""
        waiting = WaitingText()
        for text in ("one ", "two ", "three ", "four"):
            waiting.add(text, 0.0)
            if text == "two ":
                waiting.peek(1)
        assert [waiting.since(at) for at in (18, 99, 14, 9, 6)] == ["", "", "four", "hree four", "o three four"]
        waiting.take(6, 0.0)

        assert waiting.since(0) == waiting.text == "o three four"

    def test_half_a_character_waits(self):
        """It is joined with the other half, with no half at all it becomes U+FFFD, and it has no size of its own."""
        waiting = WaitingText()
        seen = [waiting.add("a\ud83d", 1.0), waiting.size, waiting.add("", 2.0)]
        seen += [waiting.add("\ude00b\ud83d", 3.0), waiting.size, waiting.add("\ud83dc\ude00", 4.0)]
        seen += [waiting.add("\ud83d", 4.5)]
        waiting.end(5.0)

        assert seen == [True, 1, False, True, 6, True, False]
        assert waiting.text == "a\U0001f600b\ufffd\ufffdc\ufffd\ufffd"
        assert waiting.last_at == 5.0

    def test_a_piece_knows_its_times(self):
        """The times of its first and its last character, and the deltas that it has a part of."""
        waiting = WaitingText()
        for i, text in enumerate(["one ", "two ", "three"]):
            waiting.add(text, float(i))
        pieces = [waiting.take(n, 9.0) for n in (3, 6, 4)]

        assert [piece.text for piece in pieces] == ["one", " two t", "hree"]
        assert [piece[1:4] for piece in pieces] == [(0.0, 0.0, 1), (0.0, 2.0, 3), (2.0, 2.0, 1)]

    def test_an_open_cluster_waits_as_long_as_text_may(self):
        """It is left out of a cut, but not when it has waited itself."""
        waiting = WaitingText()
        assert (waiting.waited(0.0, 0.0), waiting.whole()) == (0, 0)
        waiting.add("go ", 0.0)
        waiting.add("\U0001f469", 0.5)

        assert [waiting.waited(now, 1.0) for now in (0.9, 1.0, 1.5)] == [0, 3, 4]
        assert [waiting.overdue(now, 1.0) for now in (0.9, 1.0, 2.0)] == [0, 3, 4]
        assert waiting.whole() == 3

    def test_a_strategy_finds_what_it_remembers(self):
        """Of this text, and nobody else does; it is made once."""
        waiting, other = WaitingText(), WaitingText()
        owner = TimeSize()
        kept = waiting.memory(owner, list)
        kept.append(1)

        assert waiting.memory(owner, list) is kept
        assert waiting.memory(TimeSize(), list) == []
        assert other.memory(owner, list) == []

    def test_an_artifact_goes_with_the_piece_that_its_end_falls_into(self):
        """Also when that is cut much later."""
        waiting = WaitingText()
        waiting.add("[1][2]", 0.0)
        one, two = Artifact("[1]", 0, True, 0, 3), Artifact("[2]", 1, True, 3, 6)
        waiting.attach(one, 3)
        waiting.attach(two, 6)

        assert [waiting.take(n, 0.0).artifacts for n in (2, 2, 2)] == [(), (one,), (two,)]

    def test_a_large_delta_is_joined_once(self):
        """Cutting 3 000 pieces from 1.4 MB copies no more than what is cut."""
        waiting = WaitingText()
        waiting.add("\u4f60\u597d, world. " * 100_000, 0.0)
        waiting.peek(1)
        joined = waiting._joined
        pieces = [waiting.take(waiting.fit(500), 0.0) for _ in range(3_000)]

        assert waiting._joined is joined
        assert all(490 < len(piece.text.encode()) <= 500 for piece in pieces)


class Says:
    """Cuts and is due as it is told."""

    def __init__(self, cut=0, due=None):
        self.answer = cut
        self.due_at = due

    def cut(self, waiting, now):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def due(self, waiting):
        return self.due_at


class TestJoined:
    def test_pieces_that_follow_each_other(self):
        """Their texts and counts are added up; no piece at all has no text."""
        waiting = WaitingText()
        for i, text in enumerate(["one ", "two ", "three"]):
            waiting.add(text, float(i))
        pieces = [waiting.take(4, 9.0), waiting.take(9, 9.0)]

        assert joined(pieces) == Piece("one two three", 0.0, 2.0, 3)
        assert joined(pieces[:1]) is pieces[0]
        assert joined([]) == Piece("", 0.0, 0.0, 0)


class TestTextQueue:
    def test_what_was_cut_is_counted_until_it_is_taken(self):
        """So that a strategy knows whether a push waits that could carry more."""
        queue = TextQueue(PassThrough())
        queue.feed("abc", 0.0)
        queue.feed("de", 1.0)
        assert queue.waiting.queued == 5
        first, second = queue.take_ready()
        assert (queue.waiting.queued, queue.ready) == (0, [])
        queue.give_back(second)
        queue.give_back(first)

        assert queue.waiting.queued == 5
        assert [piece.text for piece in queue.ready] == ["abc", "de"]
        assert queue.size == 5

    def test_another_coalescer_goes_on(self):
        """With the text that the first has left."""
        queue = TextQueue(Says())
        queue.feed("abc", 0.0)
        queue.use(PassThrough())
        queue.feed("d", 1.0)

        assert [piece.text for piece in queue.ready] == ["abcd"]

    def test_all_may_be_cut_without_asking(self):
        """The second time there is nothing left."""
        queue = TextQueue(Says(due=9.0))
        queue.feed("abc", 0.0)
        assert queue.due == 9.0
        queue.release(1.0)
        queue.release(2.0)

        assert [piece.text for piece in queue.ready] == ["abc"]
        assert queue.due is None

    def test_text_without_an_end_has_no_size_until_it_has_one(self):
        """Half a character counts when its other half comes, or when none will."""
        queue = TextQueue(Says())
        queue.feed("\ud83d", 0.0)
        assert (queue.size, queue.due) == (0, None)
        queue.close(1.0)

        assert queue.size == 3
        assert [piece.text for piece in queue.ready] == ["\ufffd"]

    @pytest.mark.parametrize("cut", [-1, 4, 1.0, None, "1", math.nan])
    def test_a_cut_where_no_text_is_raises(self, cut):
        """And loses none."""
        batcher = Batcher(Says(cut))
        with pytest.raises(InvalidArgument, match="coalescer must cut a number of characters, from 0 to the 3 that"):
            batcher.feed("abc", 0.0)
        with pytest.raises(InvalidArgument):
            batcher.tick(1.0)

    @pytest.mark.parametrize("due", [math.nan, "soon", [1.0]])
    def test_a_due_that_is_no_time_raises(self, due):
        """And loses no text."""
        coalescer = Says(0, due)
        batcher = Batcher(coalescer)
        with pytest.raises(InvalidArgument, match="coalescer must be due at a time in seconds, or None, not "):
            batcher.feed("abc", 0.0)
        coalescer.due_at = None

        assert [batch.text for batch in batcher.close(1.0)] == ["abc"]

    def test_a_due_that_has_come_is_none(self):
        """The strategy was asked just now; to ask again would go on for ever."""
        batcher = Batcher(Says(0, 0.5))
        batcher.feed("abc", 0.0)
        assert batcher.due == 0.5

        assert batcher.tick(0.5) == []
        assert batcher.due is None


class TestBatcher:
    def test_a_mistake_loses_no_text(self):
        """What was cut before it and what was not is returned by `close`."""
        coalescer = Says(0)
        batcher = Batcher(coalescer)
        batcher.feed("abc", 0.0)
        coalescer.answer = RuntimeError("a mistake")
        for fails in (lambda: batcher.feed("de", 0.0), lambda: batcher.tick(1.0), lambda: batcher.close(2.0)):
            with pytest.raises(RuntimeError, match="a mistake"):
                fails()

        assert [batch.text for batch in batcher.close(2.0)] == ["abcde"]

    def test_closing_twice(self):
        """The second time there is nothing."""
        batcher = Batcher(TimeSize())
        batcher.feed("abc", 0.0)

        assert [batch.text for batch in batcher.close(0.1)] == ["abc"]
        assert batcher.close(0.2) == []
        assert batcher.tick(0.3) == []


class TestBatchState:
    def test_text_goes_in_and_batches_come_out(self):
        """When they are due; what the source ended with is kept for whoever takes the last of them."""
        state = BatchState(TimeSize(0.2))
        seen = [state.feed("one ", 0.0), state.due, state.next(0.1), state.feed(CompletionChunk.of_text("two"), 0.15)]
        seen += [[batch.text for batch in state.next(0.2)], state.due]

        assert seen == [True, 0.2, [], False, ["one two"], None]
        state.feed("three", 0.3)
        state.end(error := OSError(), 0.4)
        state.end(None, 0.5)
        assert (state.due, state.ended, state.error) == (-math.inf, True, error)
        assert [batch.text for batch in state.next(0.4)] == ["three"]
        assert state.next(0.5) == []

    def test_batches_that_nobody_takes_fill_it(self):
        """Until they are taken."""
        state = BatchState(PassThrough())
        assert state.feed("x" * (MAX_QUEUED - 1), 0.0)
        assert not state.full
        assert not state.feed("x", 0.0)
        assert state.full
        assert len(state.next(0.0)) == 2
        assert not state.full

    def test_a_mistake_of_the_coalescer_ends_it(self):
        """All that was said comes first; the source's own error is worth more."""
        late, at_last, both = (Says(0, 1.0) for _ in range(3))
        states = [BatchState(coalescer) for coalescer in (late, at_last, both)]
        for state, coalescer in zip(states, (late, at_last, both), strict=True):
            state.feed("text", 0.0)
            coalescer.answer = RuntimeError("a mistake")
        states[1].end(None, 0.5)
        states[2].end(OSError(), 0.5)

        assert [[batch.text for batch in state.next(1.0)] for state in states] == [["text"]] * 3
        assert [type(state.error) for state in states] == [RuntimeError, RuntimeError, OSError]

    def test_another_kind_is_refused(self):
        """By name."""
        with pytest.raises(InvalidArgument, match="the source must yield CompletionChunk or str, not "):
            BatchState(TimeSize()).feed(b"text", 0.0)

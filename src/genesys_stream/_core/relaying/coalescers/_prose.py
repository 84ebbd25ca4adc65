"""The strategies that know how people write: words and sentences."""

from __future__ import annotations

import re

from attrs import define, field

from ._checks import at_least
from ._pattern import Finder, Pattern

# Stops that end a sentence only before white space (a full stop may also be a decimal point), and those that always do,
# but for ． before a digit.
_STOPS = ".!?…‥‼⁇⁈⁉‽"
_FULL_STOPS = "。！？｡．؟۔।॥։።။។"
# What may still belong to a sentence after its stop: closing quotes and brackets, Markdown's emphasis, and quotes that
# may also open; the last ones do so after a space.
_CLOSING = re.escape("”’»›)]}）」』】》〉］｝〕")
_CLOSERS = _CLOSING + re.escape("\"'*_`~“‘«‹")

# Every alternative ends before a character that is known and that belongs to the next sentence: then no further text
# can move the cut. Each run is entered at its beginning only, so that a long one is not searched again and again.
_SENTENCE_END = re.compile(
    rf"(?<![{_STOPS}])(?P<stop>[{_STOPS}]+)(?:[{_CLOSERS}]|[ \u00a0\u202f][»›])*\s+(?=[^\s{_CLOSING}])"
    rf"|(?<![{_FULL_STOPS}])[{_FULL_STOPS}][{_FULL_STOPS}{_STOPS}]*(?:[{_CLOSERS}]*\s+(?=[^\s{_CLOSING}])"
    rf"|[{_CLOSERS}]*(?<!．(?=\d))(?=[^\s{_CLOSERS}{_FULL_STOPS}{_STOPS}]))"
    r"|(?<=\S)[^\S\n]*\n\s*(?=\S)"
)

# Without their last full stop; single letters and those with a full stop inside (e.g., z.B., U.S.) need no entry.
# English, German, French, Spanish and Portuguese, Italian, Dutch. A word that often ends a sentence has no place here.
_ABBREVIATIONS = frozenset(
    re.findall(
        r"\w+",
        """
        mr mrs ms dr prof sr jr st mt messrs mx rev hon gen col capt lt sgt gov sen rep vs approx appt dept inc ltd corp
        ed eds cf ave blvd misc jan feb apr jun jul aug sep sept oct nov dec tue tues wed thu thur thurs fri
        bzw usw ggf evtl inkl exkl zzgl bspw vgl sog ugs fr frl dipl ing tgl
        mme mmes mlle mlles env sra srta sres dra drs uds dott avv mevr dhr bijv blz enz
        """,
    )
)
_BEFORE_NUMBERS = frozenset(
    {"no", "nos", "nr", "fig", "figs", "eq", "vol", "vols", "pp", "art", "núm", "pág", "págs", "tel"}
)
_DOTTED = re.compile(r"(?:[^\W\d]{1,3}\.)+[^\W\d]{1,3}")
_LAST_WORD = re.compile(r"[^\s(\[{\"'“‘«„*_]*\Z")


def _abbreviates(word: str, after: str) -> bool:
    """Tell whether the full stop behind `word`, with `after` as the next sentence's first letter, ends no sentence."""
    return (
        after.islower()
        or _DOTTED.fullmatch(word) is not None
        or (len(word) == 1 and word.isalpha() and word.lower() != word.upper())
        or (len(word) <= 2 and word.isdecimal())  # a list's number, or a day in many languages
        or word.lower() in _ABBREVIATIONS
        or (after.isdecimal() and word.lower() in _BEFORE_NUMBERS)
    )


def _sentence(min_chars: int) -> Finder:
    def find(text: str) -> int:
        for match in _SENTENCE_END.finditer(text):
            end = match.end()
            if end < min_chars:
                continue
            stop = match["stop"]
            if stop is None or "\n" in match[0]:
                return end
            if stop == ".":
                begin = match.start()
                last_word = _LAST_WORD.search(text[max(0, begin - 24) : begin])
                if last_word and _abbreviates(last_word[0], text[end]):
                    continue
            elif text[end].islower():  # "Stop!" she said
                continue
            return end
        return 0

    return find


# Characters that are written without spaces between the words, each of which may begin a batch or end one: ideographs
# and kana. No word begins with a punctuation mark, unless that opens something.
_UNSPACED = "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3400-\u9fff\U00020000-\U0003fffd"
_WORD_BEGINS = re.compile(
    rf"(?<=\s)(?=\S)|(?<=[^\s])(?=[{_UNSPACED}])(?<![「『（《〈【])|(?<=[{_UNSPACED}、。，！？：；」』）》〉】])(?=[\w「『（《〈【])"
)


def _word(min_chars: int) -> Finder:
    def find(text: str) -> int:
        match = _WORD_BEGINS.search(text, min_chars)
        return match.start() if match else 0

    return find


@define(eq=False, init=False)
class Word(Pattern):
    """Send whole words: text that never shows half of one, unless it has waited too long.

    Args:
        min_chars: Words are gathered until there are so many characters.
        max_latency: Seconds that text may wait for the end of its word.
        max_bytes: The largest batch, in UTF-8 bytes of text.

    Raises:
        InvalidArgument: If an argument is of the wrong kind, or too small.
    """

    min_chars: int = field(validator=at_least(1))

    def __init__(self, min_chars: int = 1, max_latency: float = 0.5, max_bytes: int = 500) -> None:
        super().__init__(_word(min_chars), max_latency=max_latency, max_bytes=max_bytes)
        self.min_chars = min_chars


@define(eq=False, init=False)
class Sentence(Pattern):
    """Send whole sentences, or lines: what reads best on a screen that grows, and in speech.

    Knows the full stops of many scripts, quotes and brackets behind them, abbreviations, initials, decimals and list
    numbers. In doubt it waits for the next sentence, within its bounds.

    Args:
        min_chars: Sentences are gathered until there are so many characters.
        max_latency: Seconds that text may wait for the end of its sentence.
        max_bytes: The largest batch, in UTF-8 bytes of text.

    Raises:
        InvalidArgument: If an argument is of the wrong kind, or too small.
    """

    min_chars: int = field(validator=at_least(1))

    def __init__(self, min_chars: int = 40, max_latency: float = 1.5, max_bytes: int = 900) -> None:
        super().__init__(_sentence(min_chars), max_latency=max_latency, max_bytes=max_bytes)
        self.min_chars = min_chars

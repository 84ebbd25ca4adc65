"""The strategies that know how people write: words and sentences."""

from __future__ import annotations

import re

from attrs import field, frozen

from .boundaries import AtBoundaries, Scanner
from .checks import at_least, seconds, whole_characters

# Stops that end a sentence only before white space (a full stop may also be a decimal point), and those that always do,
# but for ． before a digit.
_STOPS = ".!?…‥‼⁇⁈⁉‽"
_FULL_STOPS = "。！？｡．؟۔।॥։።။។"
# What may still belong to a sentence after its stop: closing quotes and brackets, Markdown's emphasis, and quotes that
# may also open; the last ones do so after a space.
_CLOSING = re.escape("”’»›)]}）」』】》〉］｝〕")
_CLOSERS = _CLOSING + re.escape("\"'*_`~“‘«‹")
# All that `\s` and `str.isspace` take for white space.
_WHITE = "".join(filter(str.isspace, map(chr, range(0x3001))))

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


# What a sentence that may end needs, and what it may go on with up to the next one.
_STOP = re.compile(rf"[{_STOPS}{_FULL_STOPS}\n]")
_RUN = f"{_STOPS}{_FULL_STOPS}" + "”’»›)]}）」』】》〉］｝〕\"'*_`~“‘«‹" + _WHITE

# How much is kept before a place where a sentence may end, to tell an abbreviation; and how long such a place may be.
_WORD_BEFORE = 32
_LONGEST_RUN = 1024


class _Sentences(Scanner):
    """Finds the ends of sentences, and of lines."""

    def __init__(self) -> None:
        super().__init__()
        self._before = ""
        self._from = 0  # where in that text a sentence may end
        self._begun = 0  # where the sentence at hand begins, in characters from the beginning of the stream
        self._open = False  # whether one does, if the next sentence follows

    def feed(self, text: str) -> None:
        region = self._before + text
        begin = self.seen - len(self._before)
        self.seen += len(text)
        at = self._from
        if self._open or _STOP.search(text):
            for match in _SENTENCE_END.finditer(region, at):
                at = match.end()
                if _ends_sentence(match, region, max(0, self._begun - begin)):
                    self._begun = begin + at
                    self.ends.append(self._begun)
        at = max(at, len(region.rstrip(_RUN)), len(region) - _LONGEST_RUN)
        self._open = at < len(region) and _STOP.search(region, at) is not None
        kept = max(0, at - _WORD_BEFORE)
        self._before, self._from = region[kept:], at - kept


def _ends_sentence(match: re.Match[str], text: str, begun: int) -> bool:
    stop, end = match["stop"], match.end()
    if stop is None or "\n" in match[0]:
        return True
    if stop != ".":
        return not text[end].islower()  # "Stop!" she said
    begin = match.start()
    last_word = _LAST_WORD.search(text[max(begun, begin - 24) : begin])
    return not (last_word and _abbreviates(last_word[0], text[end]))


# Characters that are written without spaces between the words, each of which may begin a batch or end one: ideographs
# and kana. No word begins with a punctuation mark, unless that opens something.
_UNSPACED = "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3400-\u9fff\U00020000-\U0003fffd"
_WORD_BEGINS = re.compile(
    rf"(?<=\s)(?=\S)|(?<=[^\s])(?=[{_UNSPACED}])(?<![「『（《〈【])|(?<=[{_UNSPACED}、。，！？：；」』）》〉】])(?=[\w「『（《〈【])"
)


_ASCII_WORD_BEGINS = re.compile(r"\s(?=\S)")


class _Words(Scanner):
    """Finds the beginnings of words."""

    def __init__(self) -> None:
        super().__init__()
        self._last = ""

    def feed(self, text: str) -> None:
        last, begin = self._last, self.seen
        self.seen += len(text)
        self._last = text[-1]
        if not (text.isascii() and last.isascii()):
            begin -= len(last)
            self.ends.extend([begin + match.start() for match in _WORD_BEGINS.finditer(last + text, len(last))])
            return
        # The usual token is one word with a space before it, which needs no search.
        word = text.lstrip()
        space = len(text) - len(word)
        if word and (space or last.isspace()):
            self.ends.append(begin + space)
        if not (word.isalnum() or not word):
            begin += space
            self.ends.extend([begin + match.end() for match in _ASCII_WORD_BEGINS.finditer(word)])


@frozen
class Word(AtBoundaries):
    """Send whole words: text that never shows half of one, unless it has waited too long.

    Args:
        min_chars: Words are gathered until there are so many characters.
        max_latency: Seconds that text may wait for the end of its word.
        max_bytes: The largest batch, in UTF-8 bytes of text.

    Raises:
        InvalidArgument: An argument is of the wrong kind, or too small.
    """

    min_chars: int = field(default=1, validator=at_least(1))
    max_latency: float = field(default=0.5, validator=seconds)
    max_bytes: int = field(default=500, validator=whole_characters)

    def _scanner(self) -> Scanner:
        return _Words()


@frozen
class Sentence(AtBoundaries):
    """Send whole sentences, or lines: what reads best on a screen that grows, and in speech.

    Knows the full stops of many scripts, quotes and brackets behind them, abbreviations, initials, decimals and list
    numbers. In doubt it waits for the next sentence, within its bounds.

    Args:
        min_chars: Sentences are gathered until there are so many characters.
        max_latency: Seconds that text may wait for the end of its sentence.
        max_bytes: The largest batch, in UTF-8 bytes of text.

    Raises:
        InvalidArgument: An argument is of the wrong kind, or too small.
    """

    min_chars: int = field(default=40, validator=at_least(1))
    max_latency: float = field(default=1.5, validator=seconds)
    max_bytes: int = field(default=900, validator=whole_characters)

    def _scanner(self) -> Scanner:
        return _Sentences()

"""Generators of what travels through the library."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

_ATOMS = [
    *["👩\u200d💻", "👨\u200d👩\u200d👧\u200d👦", "👍🏽", "🏳️\u200d🌈", "❤️", "☺", "©", "1️⃣", "🇩🇪", "🇺🇸", "🇩"],
    *("é", "e\u0301", "a\u0300\u0323", "ñ", "\u0301", "\u200d", "\ufe0f", "\u00ad", "\u0600", "\u0e33"),
    *("你好", "世界。", "「はい。」", "か\u3099", "葛\U000e0100", "한국어", "\u1112\u1161\u11ab", "각\u11a8"),
    *("क्षि", "क्\u200dष", "नमस्ते। ", "ไทย", "สวัสดี ", "שלום? ", "مرحبا؟ ", "Привет! "),
    *("\r\n", "\r", "\n", "\n\n", " ", "  ", "\t", ". ", "! ", "? ", ".", "...", "… ", '." ', "**", "`", "«Non ! » "),
    *(
        "Dr. Smith ",
        "3.14 ",
        "e.g. this ",
        "z. B. ",
        "1. ",
        "No. 5 ",
        "Hello world. ",
        "the ",
        "word ",
        "I ",
        "go",
        "A",
    ),
    *(
        "```\ncode\n\nmore\n```\n",
        "~~~\n",
        "# Title\n",
        "- item\n",
        "| a | b |\n|---|---|\n",
        "[a link](http://x y)",
        "$$",
    ),
    *("\ud83d", "\ude00", "\ud83d\ude00", "\x00", '"', "\\", "\u2028"),
]

unicode_texts = st.lists(
    st.sampled_from(_ATOMS) | st.characters() | st.text(st.sampled_from("abc .")), max_size=25
).map("".join)
"""Text of many scripts, with everything that is easily cut in the wrong place, halves of surrogate pairs included."""


def _units(text):
    """The UTF-16 code units of a text, as JSON escapes them, each a string."""
    raw = text.encode("utf-16-le", "surrogatepass")
    return [chr(int.from_bytes(raw[i : i + 2], "little")) for i in range(0, len(raw), 2)]


_gaps = st.sampled_from([0.0, 0.0, 0.01, 0.05, 0.2, 0.3, 1.0, 3.0])


@st.composite
def deltas(draw, texts=unicode_texts, gaps=_gaps):
    """A text cut anywhere, even inside a character, as (text, time) pairs."""
    units = _units(draw(texts))
    now = draw(st.sampled_from([0.0, 1e6 + 0.1]))
    out = []
    while units:
        n = draw(st.sampled_from([1, 1, 2, 3, 5, 8, 40, 1000]))
        now += draw(gaps)
        out.append(("".join(units[:n]), now))
        units = units[n:]
    return out


# Text as JSON can carry it: anything, and now and then half of a surrogate pair.
texts = st.text(st.characters() | st.sampled_from("\ud83d\ude00\r\n\0\x85\u2028"), max_size=8)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def cuts(whole):
    """The pieces of `whole`, bytes or text, cut anywhere; some are empty."""
    return st.lists(st.integers(0, len(whole)), max_size=8).map(
        lambda at: [whole[i:j] for i, j in pairwise([0, *sorted(at), len(whole)])]
    )


def _or_null(strategy):
    return st.none() | strategy


def _object(**fields):
    return st.fixed_dictionaries({}, optional={**fields, "stranger": json_values})


_fragments = _object(
    index=_or_null(st.integers(0, 2)),
    id=_or_null(texts),
    type=_or_null(st.just("function")),
    function=_or_null(_object(name=_or_null(texts), arguments=_or_null(texts))),
)
_content = _or_null(texts | st.lists(texts | _object(type=st.just("text"), text=texts), max_size=2))
_deltas = _object(
    role=_or_null(st.just("assistant")),
    content=_content,
    refusal=_or_null(texts),
    reasoning_content=_or_null(texts),
    tool_calls=_or_null(st.lists(_fragments, max_size=2)),
    reasoning=_or_null(texts),
)
_logprobs = _object(content=_or_null(st.lists(json_values, max_size=2)), refusal=_or_null(st.lists(json_values)))
_choices = _object(
    index=_or_null(st.integers(0, 2)),
    delta=_or_null(_deltas),
    finish_reason=_or_null(st.sampled_from(["", "stop", "length", "a new one"])),
    logprobs=_or_null(_logprobs),
)

# JSON objects with the shape of a chunk, from the plain to the odd.
chunk_json = _object(
    id=_or_null(st.sampled_from(["", "chatcmpl-1"])),
    object=st.sampled_from(["", "chat.completion.chunk"]),
    created=_or_null(st.integers(0, 2)),
    model=_or_null(st.sampled_from(["", "gpt-4o"])),
    choices=_or_null(st.lists(_choices, max_size=2)),
    usage=_or_null(_object(prompt_tokens=_or_null(st.integers(0, 9)), total_tokens=st.integers(0, 9))),
    system_fingerprint=_or_null(texts),
    service_tier=_or_null(texts),
)


@st.composite
def damaged(draw, objects=chunk_json):
    """A JSON object in which one value, at any depth, has been replaced by any other."""
    whole = {**draw(objects)}
    here = whole
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            return whole
        key = draw(st.sampled_from(keys))
        if not isinstance(here[key], (dict, list)) or draw(st.integers(0, 4)) == 0:
            here[key] = draw(json_values)
            return whole
        here[key] = here[key].copy()
        here = here[key]

"""Generators of text in many scripts, cut into deltas with times."""

from __future__ import annotations

from hypothesis import strategies as st

_ATOMS = [
    *(
        "👩\u200d💻",
        "👨\u200d👩\u200d👧\u200d👦",
        "👍🏽",
        "🏳\ufe0f\u200d🌈",
        "❤\ufe0f",
        "☺",
        "©",
        "1\ufe0f\u20e3",
        "🇩🇪",
        "🇺🇸",
        "🇩",
    ),
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


_GAPS = st.sampled_from([0.0, 0.0, 0.01, 0.05, 0.2, 0.3, 1.0, 3.0])


@st.composite
def deltas(draw, texts=unicode_texts, gaps=_GAPS):
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

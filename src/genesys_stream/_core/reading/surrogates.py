"""Surrogate pairs across deltas: JSON may escape the halves of one character in different deltas."""

from __future__ import annotations

from ..._wire import join_surrogates


class SurrogateJoiner:
    """Holds back the first half of a pair until the second one comes; a half that stays alone becomes U+FFFD."""

    def __init__(self) -> None:
        self._half = ""

    def feed(self, text: str) -> str:
        """Return the text without an unfinished pair at its end, which comes with the next text."""
        if not self._half and text.isascii():
            return text
        text = self._half + text
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return join_surrogates(text[: len(text) - len(self._half)])

    def close(self) -> str:
        """Mark the text as ended; returns what was held back."""
        half, self._half = self._half, ""
        return join_surrogates(half)

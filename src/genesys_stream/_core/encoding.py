"""Content codings: identity is asked for, but proxies compress all the same (RFC 9110, section 8.4)."""

from __future__ import annotations

import zlib

from .. import _errors

_AUTOMATIC = 32 + zlib.MAX_WBITS


class Inflater:
    """Undoes a Content-Encoding of gzip or deflate, piece by piece; identity passes through."""

    def __init__(self, content_encoding: str) -> None:
        coding = content_encoding.strip().lower()
        if coding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            msg = f"the body has the content encoding {coding!r}, though identity was asked for"
            raise _errors.UnexpectedContent(msg, content_type="", first_bytes=b"")
        self._inflate = None if coding in {"", "identity"} else zlib.decompressobj(_AUTOMATIC)

    def feed(self, data: bytes, limit: int) -> bytes:
        """Decode a piece.

        Args:
            data: The bytes of the body.
            limit: How many bytes this piece may become, because a small one may stand for gigabytes.

        Returns:
            The decoded bytes.

        Raises:
            MalformedEvent: The bytes are not what the header says.
            EventTooLarge: They become more than `limit`.
        """
        if self._inflate is None:
            return data
        try:
            decoded = self._inflate.decompress(data, limit)
        except zlib.error:
            msg = "the body is not the gzip or deflate that its Content-Encoding says"
            raise _errors.MalformedEvent(msg) from None
        if self._inflate.unconsumed_tail:
            msg = f"a compressed piece of the body stands for more than max_event_bytes={limit}"
            raise _errors.EventTooLarge(msg, limit=limit)
        return decoded

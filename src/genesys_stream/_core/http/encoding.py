"""Decodes compressed bodies, because proxies compress though identity is requested (RFC 9110, section 8.4)."""

from __future__ import annotations

import zlib

from ... import _errors

_AUTOMATIC = 32 + zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS
_GZIP = b"\x1f\x8b"
_STRIDE = 4096  # decoded at once, because zlib copies what follows a member


class Inflater:
    """Decodes a Content-Encoding of gzip or deflate, piece by piece; identity passes through.

    A truncated body is decoded as far as it goes; its format shows whether it is complete.
    gzip may come in members, one after the other (RFC 1952, section 2.2); deflate may lack the zlib header that it
    should have; bytes after the end are ignored.

    Attributes:
        plain: Whether there is nothing to decode.
    """

    def __init__(self, content_encoding: str) -> None:
        coding = content_encoding.strip().lower()
        if coding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            msg = f"the body has the content encoding {coding!r}, though identity was asked for"
            raise _errors.UnexpectedContent(msg, content_type="", first_bytes=b"")
        self.plain = coding in {"", "identity"}
        self._deflate = coding == "deflate"
        self._member = None if self.plain else zlib.decompressobj(_AUTOMATIC)
        self._begun = False
        self._head = b""

    def feed(self, data: bytes, limit: int) -> bytes:
        """Decode a piece.

        Args:
            data: The bytes of the body.
            limit: The largest decoded size of this piece in bytes, because a small one may expand to gigabytes.

        Returns:
            The decoded bytes.

        Raises:
            MalformedEvent: The bytes are not in the format of the header.
            EventTooLarge: The decoded bytes are more than `limit`.
        """
        if self.plain:
            return data
        data, self._head = self._head + data, b""
        decoded, at = bytearray(), 0
        while self._member is not None and at < len(data):
            if not self._begun:
                if len(data) - at < len(_GZIP):
                    self._head = data[at:]
                    break
                self._begin(data[at : at + len(_GZIP)])
                continue
            piece = data[at : at + _STRIDE]
            try:
                decoded += self._member.decompress(piece, limit + 1 - len(decoded))
            except zlib.error:
                msg = "the body is not the gzip or deflate that its Content-Encoding says"
                raise _errors.MalformedEvent(msg) from None
            if len(decoded) > limit:
                msg = f"a compressed piece of the body stands for more than max_event_bytes={limit}"
                raise _errors.EventTooLarge(msg, limit=limit)
            at += len(piece) - len(self._member.unused_data)
            if self._member.eof:
                self._begun = False
        return bytes(decoded)

    def _begin(self, head: bytes) -> None:
        """Choose the format from the first two bytes of a member."""
        if self._member is not None and self._member.eof:
            self._member = zlib.decompressobj(_AUTOMATIC) if head == _GZIP else None
        elif self._deflate and head != _GZIP and not _has_zlib_header(head):
            self._member = zlib.decompressobj(_RAW)
        self._begun = True


def _has_zlib_header(head: bytes) -> bool:
    """Return whether the bytes are a zlib header: method deflate, correct check bits (RFC 1950, section 2.2)."""
    return head[0] & 15 == 8 and int.from_bytes(head, "big") % 31 == 0

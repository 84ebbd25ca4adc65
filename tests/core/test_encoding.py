"""Bodies that a proxy compressed though nobody asked it to."""

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given, strategies as st
from tests.strategies import cuts

from genesys_stream import _errors
from genesys_stream._core.http.encoding import Inflater

ROOM = 2**20
TEXT = 'data: {"choices":[{"delta":{"content":"Grüße, 世界"}}]}\n\n'.encode() * 20


def raw_deflate(data):
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(data) + squeeze.flush()


CODERS = [
    ("", bytes),
    ("identity", bytes),
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    (" GZip ", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("deflate", gzip.compress),
    ("gzip", zlib.compress),
]


def inflated(coding, pieces, limit=ROOM):
    inflater = Inflater(coding)
    return b"".join([inflater.feed(piece, limit) for piece in pieces])


@pytest.mark.parametrize(("coding", "encode"), CODERS)
@given(data=st.data())
def test_any_cut(coding, encode, data):
    """Any body, compressed in any way and cut anywhere, comes out as it was."""
    body = data.draw(st.sampled_from([b"", TEXT, TEXT * 300]) | st.binary())
    pieces = data.draw(cuts(encode(body)))

    assert body == inflated(coding, pieces)


@pytest.mark.parametrize(("coding", "encode"), CODERS)
def test_byte_by_byte(coding, encode):
    """One byte at a time is no different."""
    assert inflated(coding, [bytes([byte]) for byte in encode(TEXT)]) == TEXT


@pytest.mark.parametrize(("coding", "encode"), CODERS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_truncated(coding, encode, share):
    """A body that breaks off is decoded as far as it goes."""
    whole = encode(TEXT)
    got = inflated(coding, [whole[: int(len(whole) * share)]])

    assert TEXT.startswith(got)


def test_as_it_comes():
    """What a gateway has flushed comes out at once, so that a compressed stream still streams."""
    squeeze = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    inflater = Inflater("gzip")

    for event in (b"data: 1\n\n", b"data: 2\n\n"):
        assert event == inflater.feed(squeeze.compress(event) + squeeze.flush(zlib.Z_SYNC_FLUSH), ROOM)


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=5), st.data())
def test_members(bodies, data):
    """gzip members one after the other are one body (RFC 1952, section 2.2)."""
    pieces = data.draw(cuts(b"".join(map(gzip.compress, bodies))))

    assert b"".join(bodies) == inflated("gzip", pieces)


@pytest.mark.parametrize(("coding", "encode"), [pair for pair in CODERS if pair[1] is not bytes])
@pytest.mark.parametrize("trailing", [b"\0", b"\0" * 9000, b"garbage", b"\x1f", b"\r\n"])
@pytest.mark.parametrize("stride", [1, 5, 10**6])
def test_trailing(coding, encode, trailing, stride):
    """Bytes after the end mean nothing, in the last piece or in later ones."""
    whole = encode(TEXT) + trailing

    assert inflated(coding, [whole[i : i + stride] for i in range(0, len(whole), stride)]) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("body", [b"data: hello\n\n", b"\x1f\x8bnonsense", b"<html>", b"\xff" * 50])
def test_not_compressed(coding, body):
    """A body that is not what its header says is refused."""
    with pytest.raises(_errors.MalformedEvent):
        inflated(coding, [body])


def test_second_member_broken():
    """So is a member that begins well and goes on badly."""
    with pytest.raises(_errors.MalformedEvent):
        inflated("gzip", [gzip.compress(TEXT) + b"\x1f\x8bnonsense"])


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "gzip;q=1", "é", "*"])
def test_unknown(coding):
    """A coding that we do not know is named."""
    with pytest.raises(_errors.UnexpectedContent) as caught:
        Inflater(coding)

    assert repr(coding) in str(caught.value)


class TestBombs:
    @pytest.mark.parametrize("encode", [gzip.compress, zlib.compress, raw_deflate])
    @pytest.mark.parametrize("size", [1, 257, 258, 4096, 10**6])
    def test_to_the_byte(self, encode, size):
        """A piece may become as much as the limit, and not a byte more."""
        piece = encode(b"\0" * size)

        assert inflated("deflate", [piece], size) == b"\0" * size
        with pytest.raises(_errors.EventTooLarge) as caught:
            inflated("deflate", [piece], size - 1)
        assert size - 1 == caught.value.limit

    def test_memory(self):
        """A bomb is not even unpacked."""
        bomb = gzip.compress(gzip.compress(b"\0" * 2**28))
        bomb = gzip.decompress(bomb)
        tracemalloc.start()
        try:
            with pytest.raises(_errors.EventTooLarge):
                inflated("gzip", [bomb], 2**16)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

        assert peak < 2**21

    def test_over_members(self):
        """The limit is for all members of a piece together."""
        with pytest.raises(_errors.EventTooLarge):
            inflated("gzip", [gzip.compress(b"\0" * 60) * 2], 100)

    def test_piece_by_piece(self):
        """The limit is for a piece, and a long stream has many."""
        whole = gzip.compress(bytes(range(256)) * 400, compresslevel=0)

        assert len(inflated("gzip", [whole[i : i + 50] for i in range(0, len(whole), 50)], 200)) == 256 * 400


@given(st.sampled_from(["gzip", "deflate", "identity"]), st.lists(st.binary()), st.integers(1, 100))
def test_any_bytes(coding, pieces, limit):
    """Whatever comes, only documented errors leave."""
    try:
        inflated(coding, pieces, limit)
    except (_errors.MalformedEvent, _errors.EventTooLarge):
        return

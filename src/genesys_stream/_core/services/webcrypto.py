"""Encrypts push messages (RFC 8188, RFC 8291) and signs for their sender (RFC 8292), with the package cryptography.

The salt and the key pair of a message are passed in.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from .webpush import decode64, encode64

CURVE = ec.SECP256R1()

_RECORD_BYTES = 4096
_HEADER_BYTES = 16 + 4 + 1 + 65  # the salt, the record size, the length of the key, the key


def new_private_key() -> ec.EllipticCurvePrivateKey:
    """Return a new private key."""
    return ec.generate_private_key(CURVE)


def private_key_of(text: str) -> ec.EllipticCurvePrivateKey:
    """Read a private key of the curve P-256, as PEM or as the 32 bytes of its number in base64url.

    Raises:
        ValueError: It is neither.
    """
    if "-----BEGIN" not in text:
        number = decode64(text.strip())
        if len(number) != 32:
            msg = "not 32 bytes"
            raise ValueError(msg)
        return ec.derive_private_key(int.from_bytes(number, "big"), CURVE)
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except TypeError:  # it is encrypted
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != CURVE.name:
        msg = "not a private key of P-256"
        raise ValueError(msg)
    return key


def public_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the 65 bytes of a public key (the uncompressed form of X9.62)."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def public_key_of(content: bytes) -> ec.EllipticCurvePublicKey:
    """Read a public key from its bytes.

    Raises:
        ValueError: They are no point of the curve.
    """
    return ec.EllipticCurvePublicKey.from_encoded_point(CURVE, content)


def encrypt(
    plaintext: bytes,
    receiver: ec.EllipticCurvePublicKey,
    auth: bytes,
    *,
    sender: ec.EllipticCurvePrivateKey,
    salt: bytes,
) -> bytes:
    """Encrypt a message to one record of aes128gcm, its header included (RFC 8188, section 2; RFC 8291, section 4).

    Args:
        plaintext: The message, of at most 3,993 bytes.
        receiver: The subscription's public key.
        auth: The subscription's secret, 16 bytes.
        sender: A key that is used for this message alone.
        salt: 16 random bytes.

    Returns:
        The body of the request.
    """
    key_id = public_bytes(sender.public_key())
    shared = sender.exchange(ec.ECDH(), receiver)
    key, nonce = _content_key(shared, auth, public_bytes(receiver), key_id, salt)
    header = salt + _RECORD_BYTES.to_bytes(4, "big") + bytes([len(key_id)]) + key_id
    return header + AESGCM(key).encrypt(nonce, plaintext + b"\x02", None)


def decrypt(body: bytes, receiver: ec.EllipticCurvePrivateKey, auth: bytes) -> bytes:
    """Decrypt what `encrypt` has made.

    Raises:
        ValueError: It is something else.
        cryptography.exceptions.InvalidTag: It was made for another subscription, or changed since.
    """
    salt, key_id, record = body[:16], body[21 : 21 + 65], body[_HEADER_BYTES:]
    shared = receiver.exchange(ec.ECDH(), public_key_of(key_id))
    key, nonce = _content_key(shared, auth, public_bytes(receiver.public_key()), key_id, salt)
    return AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0")[:-1]


def _content_key(shared: bytes, auth: bytes, receiver: bytes, sender: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Return the key and the nonce of a message (RFC 8291, section 3.4)."""
    secret = _hkdf(auth, shared, b"WebPush: info\0" + receiver + sender)
    key = _hkdf(salt, secret, b"Content-Encoding: aes128gcm\0")[:16]
    return key, _hkdf(salt, secret, b"Content-Encoding: nonce\0")[:12]


def _hkdf(salt: bytes, secret: bytes, info: bytes) -> bytes:
    """Derive 32 bytes; one block of HKDF with SHA-256 (RFC 5869, section 2)."""
    extracted = hmac.digest(salt, secret, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)


def sign(claims: dict[str, Any], key: ec.EllipticCurvePrivateKey) -> str:
    """Make a JSON Web Token that is signed with ES256 (RFC 7515; RFC 7518, section 3.4)."""
    parts = ({"typ": "JWT", "alg": "ES256"}, claims)
    signed = ".".join(encode64(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(SHA256())))
    return f"{signed}.{encode64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def verify(token: str, key: ec.EllipticCurvePublicKey) -> dict[str, Any]:
    """Check the signature of a token that `sign` has made, and return its claims.

    Raises:
        ValueError: It is no such token.
        cryptography.exceptions.InvalidSignature: It is signed with another key.
    """
    signed, _, signature = token.rpartition(".")
    numbers = decode64(signature)
    r, s = int.from_bytes(numbers[:32], "big"), int.from_bytes(numbers[32:], "big")
    key.verify(encode_dss_signature(r, s), signed.encode(), ec.ECDSA(SHA256()))
    claims: dict[str, Any] = json.loads(decode64(signed.partition(".")[2]))
    return claims


class Vapid:
    """The key that an application server signs its requests with (RFC 8292), and one token for each push service.

    Args:
        private_key: As `private_key_of` reads it.
        subject: A mailto or https URL, where the push service reaches whoever runs the application server.

    Attributes:
        public_key: The public key as browsers take it for `applicationServerKey`.

    Raises:
        ValueError: It is no private key.
    """

    def __init__(self, private_key: str, subject: str) -> None:
        self._key = private_key_of(private_key)
        self._subject = subject
        self._headers: dict[str, tuple[float, str]] = {}
        self.public_key = encode64(public_bytes(self._key.public_key()))

    def authorization(self, origin: str, now: float) -> str:
        """Return the Authorization header for the push service of an origin.

        Its token is used for half of its lifetime, so that a clock that is some hours off does no harm: a token that
        expires in more than 24 hours is refused, too (RFC 8292, section 2).

        Args:
            origin: The scheme, host and port of the endpoint.
            now: The time in seconds since 1970.
        """
        made_at, header = self._headers.get(origin, (0.0, ""))
        if not 0 <= now - made_at < _TOKEN_SECONDS / 2:
            claims = {"aud": origin, "exp": int(now + _TOKEN_SECONDS), "sub": self._subject}
            header = f"vapid t={sign(claims, self._key)}, k={self.public_key}"
            if len(self._headers) >= _MAX_ORIGINS:  # endpoints are chosen by strangers
                self._headers.clear()
            self._headers[origin] = now, header
        return header


_TOKEN_SECONDS = 12 * 3600
_MAX_ORIGINS = 100

"""Encryption and signatures of Web Push, against the standard's own example and libraries that are not ours."""

import json
import os

import pytest
from hypothesis import given, settings, strategies as st

from genesys_stream._core.services.webpush import MAX_PLAINTEXT_BYTES, decode64, encode64

pytest.importorskip("cryptography", reason="the extra [webpush] is not installed")

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from genesys_stream._core.services import webcrypto
from genesys_stream._core.services.webcrypto import Vapid

# RFC 8291, section 5 and appendix A.
PLAINTEXT = b"When I grow up, I want to be a watermelon"
AUTH = decode64("BTBZMqHH6r4Tts7J_aSIgg")
RECEIVER = webcrypto.private_key_of("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")
SENDER = webcrypto.private_key_of("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")
SALT = decode64("DGv6ra1nlYgDCS1FRnbzlw")
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_y"
    "l95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)

NUMBER = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
PUBLIC = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
ORIGIN = "https://push.example.net"


def encrypt(plaintext, sender=None):
    sender = sender or webcrypto.new_private_key()
    return webcrypto.encrypt(plaintext, RECEIVER.public_key(), AUTH, sender=sender, salt=os.urandom(16))


class TestEncryption:
    def test_the_example_of_the_standard(self):
        """RFC 8291, section 5: byte for byte."""
        body = webcrypto.encrypt(PLAINTEXT, RECEIVER.public_key(), AUTH, sender=SENDER, salt=SALT)

        assert encode64(body) == BODY
        assert webcrypto.decrypt(body, RECEIVER, AUTH) == PLAINTEXT

    @given(plaintext=st.binary(max_size=MAX_PLAINTEXT_BYTES))
    @settings(max_examples=50)
    def test_any_message_is_read_by_http_ece(self, plaintext):
        """A library that is not ours decrypts whatever we encrypt."""
        http_ece = pytest.importorskip("http_ece")

        assert http_ece.decrypt(encrypt(plaintext), private_key=RECEIVER, auth_secret=AUTH) == plaintext

    @given(plaintext=st.binary(max_size=MAX_PLAINTEXT_BYTES))
    @settings(max_examples=50)
    def test_any_message_comes_back(self, plaintext):
        """What is decrypted is what was encrypted, whatever it ends with."""
        assert webcrypto.decrypt(encrypt(plaintext), RECEIVER, AUTH) == plaintext

    def test_the_largest_message(self):
        """It makes the largest body that every push service takes."""
        assert len(encrypt(bytes(MAX_PLAINTEXT_BYTES))) == 4096

    def test_a_changed_message(self):
        """What was changed on the way is not read."""
        body = bytearray(encrypt(PLAINTEXT))
        body[-1] ^= 1

        with pytest.raises(InvalidTag):
            webcrypto.decrypt(bytes(body), RECEIVER, AUTH)


class TestKeys:
    @pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
    def test_pem(self, form):
        """Both forms of PEM that OpenSSL writes are read."""
        pem = RECEIVER.private_bytes(Encoding.PEM, form, NoEncryption()).decode()

        assert webcrypto.private_key_of(pem).private_numbers() == RECEIVER.private_numbers()

    @pytest.mark.parametrize("text", [NUMBER, f" {NUMBER}=\n"])
    def test_a_number(self, text):
        """So is the number of the key alone, as web-push and py-vapid print it."""
        assert Vapid(text, "mailto:me@example.com").public_key == PUBLIC

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "nonsense!",
            NUMBER[:-2],
            "A" * 43,
            PUBLIC,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            ec.generate_private_key(ec.SECP384R1())
            .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            .decode(),
            RECEIVER.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")).decode(),
        ],
    )
    def test_anything_else(self, text):
        """Another curve, a password, a public key: it is a ValueError."""
        with pytest.raises(ValueError):
            webcrypto.private_key_of(text)

    def test_a_public_key_that_is_no_point(self):
        """65 bytes alone are no key."""
        with pytest.raises(ValueError):
            webcrypto.public_key_of(b"\x04" + bytes(64))


def claims_of(header):
    token, _, key = header.removeprefix("vapid t=").partition(", k=")
    return webcrypto.verify(token, webcrypto.public_key_of(decode64(key)))


class TestVapid:
    def test_the_header(self):
        """It says to whom, until when, and from whom (RFC 8292, section 2)."""
        header = Vapid(NUMBER, "mailto:me@example.com").authorization(ORIGIN, 1e9)

        assert claims_of(header) == {"aud": ORIGIN, "exp": 10**9 + 12 * 3600, "sub": "mailto:me@example.com"}
        assert header.endswith(f", k={PUBLIC}")

    def test_py_vapid_verifies_it(self):
        """A library that is not ours finds the signature right."""
        py_vapid = pytest.importorskip("py_vapid")
        header = Vapid(NUMBER, "mailto:me@example.com").authorization(ORIGIN, 1e9)

        assert py_vapid.Vapid02.verify(header.replace(", k=", ",k="))

    def test_one_token_for_each_origin(self):
        """A token serves for hours, and for one push service alone."""
        vapid = Vapid(NUMBER, "mailto:me@example.com")

        first = vapid.authorization(ORIGIN, 1e9)

        assert vapid.authorization(ORIGIN, 1e9 + 6 * 3600 - 1) == first
        assert claims_of(vapid.authorization("https://other.example", 1e9))["aud"] == "https://other.example"
        assert vapid.authorization(ORIGIN, 1e9) == first

    @pytest.mark.parametrize("later", [6 * 3600, -1])
    def test_renewal(self, later):
        """It is renewed after half of its lifetime, and when the clock has gone back."""
        vapid = Vapid(NUMBER, "mailto:me@example.com")
        vapid.authorization(ORIGIN, 1e9)

        assert claims_of(vapid.authorization(ORIGIN, 1e9 + later))["exp"] == 10**9 + later + 12 * 3600

    def test_many_origins(self):
        """Endpoints are chosen by strangers, so that no more than some hundred tokens are kept."""
        vapid = Vapid(NUMBER, "mailto:me@example.com")
        for number in range(250):
            vapid.authorization(f"https://{number}.example", 1e9)

        assert len(vapid._headers) <= 100

    def test_another_signature(self):
        """A token that somebody else signed, or that was changed, is refused."""
        token = webcrypto.sign({"sub": "me"}, SENDER)
        head, _, signature = token.rpartition(".")
        forged = f"{head.partition('.')[0]}.{encode64(json.dumps({'sub': 'you'}).encode())}.{signature}"

        for one, key in ((token, RECEIVER), (forged, SENDER)):
            with pytest.raises(InvalidSignature):
                webcrypto.verify(one, key.public_key())

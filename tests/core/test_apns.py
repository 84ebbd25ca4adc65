"""APNs: payloads, headers, provider tokens, and what an answer means."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from hypothesis import given, strategies as st

from genesys_stream import Batch, InvalidArgument, InvalidToken, RateLimited, StreamAssembler
from genesys_stream._core.http.exchange import Reply
from genesys_stream._core.relaying.payload import largest_fit
from genesys_stream._core.services.apns import (
    MAX_BROADCAST_BYTES,
    MAX_BYTES,
    ActivityEncoder,
    DeviceEncoder,
    ProviderToken,
    apns_error,
    apns_receipt,
    check_token,
    collapse_id,
    push_id,
)
from genesys_stream._values._checks import check_word

NOW = 1_790_000_000.0
TEXT = Batch("Hello", stream_id="01M87TNWB844CDWNCNW8DVRY8F", seq=1)
LAST = Batch(" world", stream_id="01M87TNWB844CDWNCNW8DVRY8F", seq=2, offset=5, state="complete", total=11)


def activity(**options: Any) -> ActivityEncoder:
    return ActivityEncoder(now=lambda: NOW, max_payload_bytes=MAX_BYTES, **options)


class TestPayloads:
    def test_a_silent_push_has_our_keys_beside_aps(self) -> None:
        """The app is woken, and nothing is shown."""
        payload = json.loads(DeviceEncoder().encode(TEXT))

        assert payload.pop("aps") == {"content-available": 1}
        assert payload["llm_response"] == "Hello"

    def test_the_final_push_is_an_alert(self) -> None:
        """A notification service extension may change it, and the notifications of a stream are one thread."""
        payload = json.loads(DeviceEncoder(title="T", body="B").encode(LAST))

        assert payload["aps"] == {
            "alert": {"title": "T", "body": "B"},
            "sound": "default",
            "mutable-content": 1,
            "thread-id": LAST.stream_id,
        }
        assert payload["state"] == "complete"

    def test_an_alert_without_sound(self) -> None:
        """It is not in the payload then."""
        assert "sound" not in json.loads(DeviceEncoder(sound="").encode(LAST))["aps"]

    def test_aps_is_no_key_of_the_app(self) -> None:
        """It is the service's."""
        with pytest.raises(InvalidArgument, match="aps"):
            DeviceEncoder(data={"aps": "x"})

    def test_a_live_activity_has_our_keys_as_its_content_state(self) -> None:
        """It is stale after a while, and ends with the stream."""
        update = json.loads(activity().encode(TEXT))["aps"]
        end = json.loads(activity().encode(LAST))["aps"]

        assert update.pop("content-state")["llm_response"] == "Hello"
        assert update == {"timestamp": int(NOW), "event": "update", "stale-date": int(NOW) + 120}
        assert end.pop("content-state")["total"] == "11"
        assert end == {"timestamp": int(NOW), "event": "end"}

    def test_dates_of_a_live_activity(self) -> None:
        """None leaves them out."""
        assert "stale-date" not in json.loads(activity(stale_after=None).encode(TEXT))["aps"]
        assert json.loads(activity(dismiss_after=60.0).encode(LAST))["aps"]["dismissal-date"] == int(NOW) + 60

    @given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
    def test_the_receiver_puts_any_text_together(self, texts: list[str]) -> None:
        """The payload of a device, less `aps`, is what StreamAssembler takes."""
        texts = [text.encode("utf-8", "replace").decode() for text in texts]
        assembler, offset = StreamAssembler(), 0
        for number, text in enumerate(texts, 1):
            batch = Batch(text, stream_id="s", seq=number, offset=offset)
            assembler.receive(json.loads(DeviceEncoder().encode(batch)))
            offset += len(text.encode())

        assert assembler.text == "".join(texts)


SAMPLES = {"English": "the quick brown fox ", "emoji": "👩‍👩‍👧 🎉 ", "JSON": '{"key": "a \\"word\\"\\n"}, '}


class TestSizes:
    @pytest.mark.parametrize("kind", SAMPLES)
    @pytest.mark.parametrize("batch", [TEXT, LAST], ids=["silent", "final"])
    @pytest.mark.parametrize("channel", ["device", "activity", "broadcast"])
    def test_what_fits_is_taken_and_one_byte_more_is_not(self, channel: str, batch: Batch, kind: str) -> None:
        """Measured on the bytes that are sent."""
        limit = MAX_BROADCAST_BYTES if channel == "broadcast" else MAX_BYTES
        encoder: Any = (
            DeviceEncoder(max_payload_bytes=limit)
            if channel == "device"
            else ActivityEncoder(now=lambda: NOW, max_payload_bytes=limit)
        )
        whole = Batch(SAMPLES[kind] * 500, stream_id=batch.stream_id, seq=2, state=batch.state, total=batch.total)

        n = largest_fit(whole, encoder.encode, limit)
        fits = encoder.encode(
            Batch(whole.text[:n], stream_id=batch.stream_id, seq=2, state=batch.state, total=batch.total)
        )

        assert limit - 40 < len(fits) <= limit

    def test_the_text_of_one_push(self) -> None:
        """What the page on payloads says."""
        encoder = DeviceEncoder(max_payload_bytes=MAX_BYTES)
        batch = Batch("a" * 5000, stream_id="01M87TNWB844CDWNCNW8DVRY8F", seq=1)

        assert largest_fit(batch, encoder.encode, MAX_BYTES) == 3888


class TestHeaders:
    def test_a_silent_push(self) -> None:
        """Now or never, and without haste, which Apple asks of background pushes."""
        assert DeviceEncoder().headers(TEXT, topic="com.app", now=NOW) == {
            "apns-topic": "com.app",
            "apns-push-type": "background",
            "apns-priority": "5",
            "apns-expiration": "0",
        }

    def test_the_final_push(self) -> None:
        """At once, kept for an hour, and in place of earlier ones of the stream."""
        assert DeviceEncoder().headers(LAST, topic="com.app", now=NOW) == {
            "apns-topic": "com.app",
            "apns-push-type": "alert",
            "apns-priority": "10",
            "apns-expiration": str(int(NOW) + 3600),
            "apns-collapse-id": LAST.stream_id,
        }

    def test_alerts_on_the_way(self) -> None:
        """They are shown, and not kept."""
        headers = DeviceEncoder(alert="all").headers(TEXT, topic="com.app", now=NOW)

        assert headers["apns-push-type"] == "alert" and headers["apns-expiration"] == "0"

    def test_a_live_activity(self) -> None:
        """Its topic is the app's with a suffix; updates draw no budget, the end does."""
        assert activity().headers(TEXT, topic="com.app", now=NOW) == {
            "apns-topic": "com.app.push-type.liveactivity",
            "apns-push-type": "liveactivity",
            "apns-priority": "5",
            "apns-expiration": "0",
        }
        assert activity().headers(LAST, topic="com.app", now=NOW)["apns-priority"] == "10"

    def test_a_long_stream_id_has_a_short_collapse_id(self) -> None:
        """Apple takes 64 bytes."""
        assert collapse_id("s" * 64) == "s" * 64
        assert str(uuid.UUID(collapse_id("s" * 65))) == collapse_id("s" * 65)
        assert collapse_id("ein Käse") == str(uuid.UUID(collapse_id("ein Käse")))

    def test_a_stream_id_may_be_any_string(self) -> None:
        """Half a surrogate pair, too, which UTF-8 has no bytes for."""
        ids = [collapse_id("\ud800"), collapse_id("\ud801"), push_id(Batch("x", stream_id="\ud800", seq=1), "aa")]

        assert [str(uuid.UUID(one)) for one in ids] == ids
        assert len(set(ids)) == 3

    def test_resends_share_one_id(self) -> None:
        """It is made of the stream, the epoch, the number and the target."""
        assert push_id(TEXT, "aa") == push_id(Batch("more text", stream_id=TEXT.stream_id, seq=1), "aa")
        assert len({push_id(TEXT, "aa"), push_id(TEXT, "ab"), push_id(LAST, "aa")}) == 3
        assert push_id(TEXT, "aa") != push_id(Batch("", stream_id=TEXT.stream_id, seq=1, epoch=2), "aa")


class TestArguments:
    @pytest.mark.parametrize(
        ("token", "hint"),
        [(b"\xaa", "token.hex()"), (1, "int"), ("", "hexadecimal"), ("abc", "hexadecimal"), ("../../x", "hexadecimal")],
    )
    def test_a_device_token_is_hexadecimal(self, token: object, hint: str) -> None:
        """Anything else is refused, without being shown."""
        with pytest.raises(InvalidArgument, match=re.escape(hint)):
            check_token("device", token)

    def test_its_case_makes_no_difference(self) -> None:
        """So that one device has one rate."""
        assert check_token("device", "C0FFEE") == "c0ffee"

    @pytest.mark.parametrize("value", ["", "two words", "line\nend", "Käse"])
    def test_what_is_sent_in_a_header_is_ascii(self, value: str) -> None:
        """So that nothing can be injected."""
        with pytest.raises(InvalidArgument, match="printable ASCII"):
            check_word("topic", value)
        assert check_word("topic", "com.example.app") == "com.example.app"


class TestProviderToken:
    def test_it_is_used_for_forty_minutes(self) -> None:
        """Apple takes none that is older than an hour, and no new one within twenty minutes."""
        token = ProviderToken(str)

        assert {token.current(NOW + minutes * 60) for minutes in range(40)} == {str(int(NOW))}
        assert token.current(NOW + 40 * 60) == str(int(NOW) + 2400)

    def test_a_clock_that_goes_back(self) -> None:
        """A token from the future is refused by Apple."""
        token = ProviderToken(str)
        token.current(NOW)

        assert token.current(NOW - 100) == str(int(NOW) - 100)

    def test_one_that_was_refused_is_replaced_once(self) -> None:
        """However many pushes were refused with it, and no sooner than twenty minutes later again."""
        token = ProviderToken(str)
        first = token.current(NOW)
        token.replace(first, NOW + 5)
        second = token.current(NOW + 5)
        token.replace(first, NOW + 6)
        token.replace(second, NOW + 7)
        assert (second, token.current(NOW + 7)) == (str(int(NOW) + 5), second)
        token.replace(second, NOW + 1300)
        assert token.current(NOW + 1300) == str(int(NOW) + 1300)


def error(status: int, reason: str = "", timestamp: object = None, **headers: str) -> Any:
    fields = {"reason": reason} | ({} if timestamp is None else {"timestamp": timestamp})
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return apns_error(Reply(status, names, json.dumps(fields).encode() if reason else b""))


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "reason", "name", "retryable"),
        [
            (400, "BadTopic", "BadRequest", False),
            (400, "BadDeviceToken", "InvalidToken", False),
            (400, "DeviceTokenNotForTopic", "InvalidToken", False),
            (400, "BadChannelId", "InvalidToken", False),
            (403, "ExpiredProviderToken", "AuthenticationError", False),
            (403, "InvalidProviderToken", "AuthenticationError", False),
            (403, "MissingProviderToken", "AuthenticationError", False),
            (403, "BadEnvironmentKeyIdInToken", "AuthenticationError", False),
            (403, "Forbidden", "PermissionDenied", False),
            (404, "BadPath", "NotFound", False),
            (405, "MethodNotAllowed", "BadRequest", False),
            (410, "Unregistered", "InvalidToken", False),
            (410, "", "InvalidToken", False),
            (413, "PayloadTooLarge", "PayloadTooLarge", False),
            (429, "TooManyRequests", "RateLimited", True),
            (429, "TooManyProviderTokenUpdates", "RateLimited", True),
            (500, "InternalServerError", "ServerError", True),
            (502, "", "BadGateway", True),
            (503, "Shutdown", "ServiceUnavailable", True),
        ],
    )
    def test_a_reason_becomes_an_exception(self, status: int, reason: str, name: str, retryable: bool) -> None:
        """With Apple's word as its code."""
        made = error(status, reason)

        assert (type(made).__name__, made.status, made.code, made.retryable) == (name, status, reason, retryable)

    def test_a_dead_token(self) -> None:
        """Apple says from when on, in milliseconds."""
        made = error(410, "Unregistered", 1_790_000_000_500)

        assert isinstance(made, InvalidToken)
        assert (made.gone, made.since) == (True, 1_790_000_000.5)
        for odd in ("soon", -1, 10**400, float("inf"), float("nan")):
            assert error(410, "Unregistered", odd).since is None
        assert error(400, "ChannelNotRegistered").gone

    @pytest.mark.parametrize("reason", ["BadDeviceToken", "DeviceTokenNotForTopic"])
    def test_a_token_of_another_environment_is_not_gone(self, reason: str) -> None:
        """It is only the wrong one here."""
        assert not error(400, reason).gone

    def test_a_limit_of_the_device(self) -> None:
        """Held for as long as the answer says, or for ten seconds."""
        made = error(429, "TooManyRequests")

        assert isinstance(made, RateLimited)
        assert (made.scope, made.retry_after) == ("device", 10.0)
        assert error(429, "TooManyRequests", retry_after="3").retry_after == 3.0
        assert error(429, "TooManyRequests", retry_after="0").retry_after == 0.0

    def test_a_limit_of_the_credential(self) -> None:
        """A token may be renewed every twenty minutes."""
        made = error(429, "TooManyProviderTokenUpdates")

        assert (made.scope, made.retry_after) == ("credential", 1200.0)

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"reason": 1}', b"[" * 100_000])
    def test_a_body_that_is_not_apples(self, body: bytes) -> None:
        """The status says enough."""
        assert type(apns_error(Reply(503, {}, body))).__name__ == "ServiceUnavailable"


def test_receipts() -> None:
    """The push's id, and in the sandbox the one that Apple's console finds it by."""
    assert apns_receipt(Reply(200, {"apns-id": "a"})).id == "a"
    assert apns_receipt(Reply(200, {"apns-request-id": "b", "apns-unique-id": "u"})).extra == {"apns-unique-id": "u"}
    assert apns_receipt(Reply(200)).id == ""

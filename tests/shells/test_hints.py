"""Options that other libraries have, misspelt ones, and numbers in place of values: the error says how it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from genesys_stream import AsyncClient, Client, ClientCredentials, InvalidArgument, Retry, Timeouts, relay

CLIENT: Any = Client("id", "secret")
ASYNC: Any = AsyncClient("id", "secret")
ANY: Any = {"Client": Client, "relay": relay, "Credentials": ClientCredentials}
ASK: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
TIMEOUTS = r"; write timeouts=Timeouts\(total=\.\.\.\)$"
RETRY = r"; write retry=Retry\(attempts=\.\.\.\)$"
STREAM = r"; client\.completions\.stream\(\) makes a stream, and create\(\) a whole completion$"


@pytest.mark.parametrize(
    ("argument", "call", "hint"),
    [
        ("timeout", lambda: ANY["Client"]("id", "secret", timeout=30), TIMEOUTS),
        ("timeout", lambda: CLIENT.with_options(timeout=30), TIMEOUTS),
        ("timeout", lambda: CLIENT.completions.stream(**ASK, timeout=30), TIMEOUTS),
        ("timeout", lambda: ASYNC.completions.create(**ASK, timeout=30), TIMEOUTS),
        ("max_retries", lambda: ANY["Client"]("id", "secret", max_retries=3), RETRY),
        ("retries", lambda: ANY["relay"](["a"], print, retries=3), RETRY),
        ("api_key", lambda: ANY["Client"](api_key="key"), "; write access_token=...$"),
        ("verify", lambda: ANY["Client"]("id", "secret", verify=False), "; write http_client=..., with an HTTP"),
        ("stream", lambda: CLIENT.completions.create(**ASK, stream=True), STREAM),
        ("stream", lambda: ASYNC.completions.stream(**ASK, stream=True), STREAM),
        ("temprature", lambda: CLIENT.completions.create(**ASK, temprature=1), r"; did you mean temperature\?$"),
        ("base_uri", lambda: ANY["Client"]("id", "secret", base_uri="https://a"), r"; did you mean base_url\?$"),
        ("retrys", lambda: CLIENT.with_options(retrys=3), r"; did you mean retry\?$"),
        ("profil", lambda: CLIENT.push.to("device", profil=None), r"; did you mean profile\?$"),
        ("token", lambda: ASYNC.push.to(token="device"), "; write the device tokens first, without a name$"),
        ("coalesce", lambda: ANY["relay"](["a"], print, coalesce=None), r"; did you mean coalescer\?$"),
        ("nonsense", lambda: CLIENT.completions.stream(**ASK, nonsense=1), "; fields of your own go in extra_body$"),
        ("nonsense", lambda: ANY["relay"](["a"], print, nonsense=1), "; it takes coalescer, "),
        ("nonsense", lambda: CLIENT.push.to("device", nonsense=1), "is not an argument$"),
        ("timeouts", lambda: ANY["Client"]("id", "secret", timeouts=30), r"; write Timeouts\(total=30\)$"),
        ("timeouts", lambda: CLIENT.completions.create(**ASK, timeouts=1.5), r"; write Timeouts\(total=1\.5\)$"),
        ("timeouts", lambda: CLIENT.with_options(timeouts=True), "must be Timeouts or None, not bool$"),
        ("retry", lambda: ANY["Client"]("id", "secret", retry=3), r"; write Retry\(attempts=3\)$"),
        ("retry", lambda: ANY["relay"](["a"], print, retry=3), r"; write Retry\(attempts=3\)$"),
        ("retry", lambda: ANY["Credentials"]("id", "secret", retry=3), r"; write Retry\(attempts=3\)$"),
        ("retry", lambda: CLIENT.with_options(retry=0.5), "must be Retry or None, not float$"),
    ],
)
def test_the_error_says_how_it_is_written(argument: str, call: Callable[[], object], hint: str) -> None:
    """The argument is named, and followed by the right spelling where there is one."""
    with pytest.raises(InvalidArgument, match=hint) as caught:
        call()

    assert caught.value.argument == argument


def test_what_the_hints_say_works() -> None:
    """The arguments that hints name are there."""
    with Client("id", "secret", timeouts=Timeouts(total=30), retry=Retry(attempts=3)):
        assert Client(access_token="key")

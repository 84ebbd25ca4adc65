"""An environment whose proxies or certificates cannot be used: each command names the variable, and exits with 2."""

import sys

import pytest

from genesys_stream import _http

INVALID = [
    ("NO_PROXY", "[::1"),
    ("HTTPS_PROXY", "socks4://127.0.0.1:1"),
    ("HTTPS_PROXY", "socks5://127.0.0.1:1"),
    ("HTTPS_PROXY", "http://127.0.0.1:70000"),
    ("SSL_CERT_FILE", "/nowhere/certificates.pem"),
    ("SSL_CERT_FILE", __file__),
]


@pytest.mark.parametrize(("name", "value"), INVALID)
@pytest.mark.parametrize(
    "arguments",
    [
        ("relay", "Hi", "--target", "phone"),
        ("stream", "Hi"),
        ("push", "--target", "phone", "--title", "T", "--body", "B"),
        ("token",),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_an_invalid_environment_is_named(run, environment, monkeypatch, arguments, name, value):
    """A proxy or a certificate file that cannot be used is an error of the configuration, and no traceback."""
    environment.setenv("GENESYSCLOUD_OAUTHCLIENT_ID", "client-id")
    environment.setenv("GENESYSCLOUD_OAUTHCLIENT_SECRET", "secret")
    environment.setenv("GENESYSCLOUD_REGION", "http://127.0.0.1:1")
    environment.delenv("SSL_CERT_DIR", raising=False)
    environment.setenv(name, value)
    monkeypatch.setitem(sys.modules, "socksio", None)  # as where it is not installed
    monkeypatch.setattr(_http, "shared_tls", _http.shared_tls.__wrapped__)

    result = run(*arguments)

    assert result.code == 2
    assert f"the environment variable {name} is invalid" in result.err
    assert "Traceback" not in result.out + result.err


@pytest.mark.parametrize(("name", "value"), INVALID)
@pytest.mark.parametrize("arguments", [("relay", "Hi", "--sandbox"), ("doctor", "--sandbox")], ids=" ".join)
def test_the_sandbox_needs_none_of_it(run, environment, monkeypatch, arguments, name, value):
    """The sandbox is on this machine, and is reached without a proxy or certificates."""
    environment.setenv(name, value)
    monkeypatch.setattr(_http, "shared_tls", _http.shared_tls.__wrapped__)

    assert run(*arguments).code == 0

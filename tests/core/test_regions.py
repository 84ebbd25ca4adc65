"""Every spelling of every region, and no address that a secret should not be sent to."""

import re

import pytest
from hypothesis import example, given, strategies as st

from genesys_stream import ConfigurationError
from genesys_stream._core.http.regions import DOMAINS, Endpoints, endpoints

US = Endpoints("https://api.mypurecloud.com", "https://login.mypurecloud.com")

SPELLINGS = [
    lambda region, domain: region,
    lambda region, domain: region.replace("-", "_"),
    lambda region, domain: region.upper(),
    lambda region, domain: region.upper().replace("-", "_"),
    lambda region, domain: f" {region}\n",
    lambda region, domain: f"prod_{region.replace('-', '_')}",
    lambda region, domain: f"prod-{region}",
    lambda region, domain: domain,
    lambda region, domain: domain.upper(),
    lambda region, domain: f"{domain}/",
    lambda region, domain: f"api.{domain}",
    lambda region, domain: f"login.{domain}",
    lambda region, domain: f"apps.{domain}",
    lambda region, domain: f"https://api.{domain}",
    lambda region, domain: f"https://api.{domain}/",
    lambda region, domain: f"https://login.{domain}",
    lambda region, domain: f"https://apps.{domain}",
]


def test_all_of_them():
    """There are 18 public regions, each with a domain of its own."""
    assert (len(DOMAINS), len(set(DOMAINS.values()))) == (18, 18)


@pytest.mark.parametrize("spell", SPELLINGS)
@pytest.mark.parametrize(("region", "domain"), DOMAINS.items())
def test_every_spelling(region, domain, spell):
    """A region may be spelt as users have it in their shells."""
    assert endpoints(spell(region, domain)) == Endpoints(f"https://api.{domain}", f"https://login.{domain}")


@pytest.mark.parametrize(
    ("arguments", "base_url", "login_url"),
    [
        ({}, US.base_url, US.login_url),
        ({"region": None}, US.base_url, US.login_url),
        ({"region": "HTTPS://API.MyPureCloud.IE"}, "HTTPS://api.MyPureCloud.IE", "HTTPS://login.MyPureCloud.IE"),
        ({"region": "https://MyPureCloud.ie/"}, "https://api.MyPureCloud.ie", "https://login.MyPureCloud.ie"),
        ({"base_url": "https://mypurecloud.de"}, "https://mypurecloud.de", "https://login.mypurecloud.de"),
        ({"region": "inindca.com"}, "https://api.inindca.com", "https://login.inindca.com"),
        ({"region": "mypurecloud.com:8443"}, "https://api.mypurecloud.com:8443", "https://login.mypurecloud.com:8443"),
        ({"region": "localhost"}, "http://localhost", "http://localhost"),
        ({"region": "LocalHost:8080"}, "http://localhost:8080", "http://localhost:8080"),
        ({"region": "127.0.0.1:8080"}, "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ({"region": "[::1]:8080"}, "http://[::1]:8080", "http://[::1]:8080"),
        ({"region": "http://localhost:8080"}, "http://localhost:8080", "http://localhost:8080"),
        (
            {"region": "https://gw.example:8443/genesys/"},
            "https://gw.example:8443/genesys",
            "https://gw.example:8443/genesys",
        ),
        (
            {"region": "https://api.gw.example/genesys"},
            "https://api.gw.example/genesys",
            "https://login.gw.example/genesys",
        ),
        ({"base_url": "https://api.mypurecloud.de"}, "https://api.mypurecloud.de", "https://login.mypurecloud.de"),
        ({"base_url": "https://API.mypurecloud.de/"}, "https://API.mypurecloud.de", "https://login.mypurecloud.de"),
        ({"base_url": "https://gw.example/v1"}, "https://gw.example/v1", "https://gw.example/v1"),
        (
            {"base_url": "https://gw.example", "region": "eu-west-1"},
            "https://gw.example",
            "https://login.mypurecloud.ie",
        ),
        ({"login_url": "https://sso.example/"}, US.base_url, "https://sso.example"),
        (
            {"base_url": "https://gw.example", "login_url": "https://sso.example"},
            "https://gw.example",
            "https://sso.example",
        ),
        (
            {"region": "eu-west-1", "base_url": "https://gw.example", "login_url": "https://sso.example"},
            "https://gw.example",
            "https://sso.example",
        ),
        ({"base_url": "https://10.0.0.1"}, "https://10.0.0.1", "https://10.0.0.1"),
        ({"base_url": "https://[2001:db8::1]:8443"}, "https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ({"base_url": "https://my_host.internal."}, "https://my_host.internal.", "https://my_host.internal."),
        ({"base_url": "https://intranet"}, "https://intranet", "https://intranet"),
    ],
)
def test_addresses(arguments, base_url, login_url):
    """A URL wins over the region, and where it is alone, the other one is derived from it."""
    assert endpoints(**arguments) == Endpoints(base_url, login_url)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "http://LOCALHOST:8080/x",
        "http://127.0.0.1",
        "http://127.1.2.3:1",
        "http://127.255.255.254",
        "http://[::1]",
        "http://[::1]:8080",
        "http://[0:0:0:0:0:0:0:1]:8080",
    ],
)
def test_loopback(url):
    """Secrets may go to this machine in the clear, under any of its names."""
    assert endpoints(base_url=url, login_url=url) == Endpoints(url, url)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.mypurecloud.com",
        "http://127.evil.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://evil.localhost",
        "http://localhost.",
        "http://128.0.0.1",
        "http://0.0.0.0",
        "http://[::2]",
        "http://[2001:db8::1]:8080",
    ],
)
def test_in_the_clear(url):
    """But to no other machine, unless the caller says so."""
    for arguments in ({"base_url": url}, {"login_url": url}, {"region": url}):
        with pytest.raises(ConfigurationError, match="in the clear"):
            endpoints(**arguments)
        assert url in repr(endpoints(**arguments, allow_insecure_http=True)).replace("login.", "api.")
        with pytest.raises(ConfigurationError, match="must be True or False"):
            endpoints(**arguments, allow_insecure_http="no")


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "mypurecloud.com",
        "api.mypurecloud.com",
        "//api.mypurecloud.com",
        "https:api.mypurecloud.com",
        "https://",
        "https:///path",
        "https://:443",
        "ftp://api.mypurecloud.com",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://user@x.example",
        "https://user:password@x.example",
        "https://:password@x.example",
        "https://@x.example",
        "https://x.example\\@evil.example",
        "https://x.example\\.evil.example",
        "https://x.example?",
        "https://x.example/?a=b",
        "https://x.example#",
        "https://x.example/#f",
        "https://x.example:port",
        "https://x.example:99999",
        "https://x.example:-1",
        "https://x..example",
        "https://.example",
        "https://-x.example",
        "https://x-.example",
        "https://x*.example",
        "https://x%2eexample",
        "https://300.1.1.1",
        "https://1.2.3",
        "https://127.1",
        "https://" + "a" * 64 + ".example",
        "https://[::1",
        "https://::1",
        "https://[::g]",
        "https://[x.example]",
        "https://x.example\r\nHost: evil.example",
        "https://x.example\n",
        "https://x.example\t",
        " https://x.example",
        "https://x .example",
        "https://x.example/a b",
        "https://x.example/\0",
        "https://bücher.example",
        "https://x.example/ü",
        "https://x\u2024example",
        "https://x.example/\ud83d",
    ],
)
@pytest.mark.parametrize("name", ["base_url", "login_url"])
def test_unsafe(url, name):
    """What is no plain http(s) URL is refused, without repeating what may be a password."""
    with pytest.raises(ConfigurationError, match=name) as caught:
        endpoints(**{name: url}, allow_insecure_http=True)

    assert "password" not in str(caught.value)


@pytest.mark.parametrize(
    "region",
    [
        "",
        " ",
        "mars-north-1",
        "us-east",
        "us east 1",
        "us-east-1\r\nx",
        "prod_",
        "prod_prod_us_east_1",
        "mypurecloud",
        "user:password@mypurecloud.com",
        "mypurecloud.com/path",
        "mypurecloud.com?x",
        "my purecloud.com",
        "mypurecloud.com\r\nHost: x",
        "mypurecloud..com",
        "localhost:port",
        "localhost@evil.example",
        "user@localhost",
        "[::1",
        "[::1]x",
        "https://user:password@api.mypurecloud.com",
        "https://[::1",
        "ftp://mypurecloud.com",
    ],
)
def test_unknown_regions(region):
    """A region that is neither known nor a safe address is refused; nothing falls back to another country."""
    with pytest.raises(ConfigurationError, match=r"region|login_url"):
        endpoints(region)


def test_says_which_there_are():
    """The error names the regions that there are."""
    with pytest.raises(ConfigurationError) as caught:
        endpoints("mars-north-1")

    assert all(region in str(caught.value) for region in ["'mars-north-1'", *DOMAINS])


@pytest.mark.parametrize("name", ["region", "base_url", "login_url"])
@pytest.mark.parametrize("value", [1, b"us-east-1", ["us-east-1"], True])
def test_not_strings(name, value):
    """What is no string is refused by its name."""
    with pytest.raises(ConfigurationError, match=rf"{name} must be a string"):
        endpoints(**{name: value})


_ADDRESSES = st.text() | st.from_regex(r"(https?://)?([a-z.:@\[\]0-9\\/?#%-]|localhost|api\.)+", fullmatch=True)


@given(st.none() | _ADDRESSES, st.none() | _ADDRESSES, st.none() | _ADDRESSES, st.booleans())
@example("http://[", None, None, False)
@example("[", None, None, False)
@example("localhost:١", None, None, False)
def test_any_address(region, base_url, login_url, allow):
    """Whatever is said, the addresses are safe, or ConfigurationError is raised."""
    try:
        found = endpoints(region, base_url=base_url, login_url=login_url, allow_insecure_http=allow)
    except ConfigurationError:
        return
    for url in (found.base_url, found.login_url):
        assert re.fullmatch(r"(?i:https?)://[A-Za-z0-9._\[\]:-]+(/[!-~]*)?", url)
        assert not url.endswith("/")
        assert allow or re.match(r"(?i:https)://|(?i:http)://(localhost|127\.|\[)", url, re.IGNORECASE)

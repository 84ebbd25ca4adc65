"""What a client is set to, from its arguments and from the environment."""

import anyio
import pytest
from hypothesis import given, strategies as st

from genesys_stream import ConfigurationError, InvalidArgument
from genesys_stream._core.http.retry import Retry
from genesys_stream._core.http.settings import (
    COMPLETIONS_PATH,
    PUSH_PATH,
    Settings,
    from_environment,
    missing_credentials,
    settings,
)
from genesys_stream._values import Timeouts

PLACE = {"region": None, "base_url": None, "login_url": None, "allow_insecure_http": False}
PATHS = {"completions_path": COMPLETIONS_PATH, "push_path": PUSH_PATH}


def made(**changes):
    return settings(**{**PLACE, **PATHS, **changes})


class TestSettings:
    def test_defaults(self):
        """Without a word it is the first region, with the tutorial's paths."""
        assert made() == Settings(
            "https://api.mypurecloud.com",
            "https://login.mypurecloud.com",
            "https://api.mypurecloud.com/api/v2/ai/llm/completions",
            "https://api.mypurecloud.com/api/v2/notifications/push",
        )

    def test_gateway(self):
        """Any gateway and any path will do, with a query where a provider wants one."""
        found = made(base_url="https://gw.example/openai/", completions_path="/v1/chat?api-version=2026")

        assert found.completions_url == "https://gw.example/openai/v1/chat?api-version=2026"
        assert found.push_url == "https://gw.example/openai/api/v2/notifications/push"

    @pytest.mark.parametrize("name", ["completions_path", "push_path"])
    @pytest.mark.parametrize(
        "path",
        [
            "",
            "x",
            "https://evil.example",
            "@evil.example",
            "/a b",
            "/a\r\nb",
            "/a\n",
            "/a#b",
            "/ä",
            "/\0",
            None,
            1,
            b"/x",
        ],
    )
    def test_paths(self, name, path):
        """A path begins with a slash and can be sent as it is."""
        with pytest.raises(InvalidArgument) as caught:
            made(**{name: path})

        assert name == caught.value.argument

    def test_addresses(self):
        """An unsafe address is a matter of configuration."""
        with pytest.raises(ConfigurationError):
            made(base_url="http://x.example")

    @given(st.text(), st.text())
    def test_any_path(self, completions_path, push_path):
        """Any path is taken as it is, or refused as an argument."""
        try:
            found = made(completions_path=completions_path, push_path=push_path)
        except InvalidArgument:
            return
        assert found.completions_url == found.base_url + completions_path
        assert found.push_url == found.base_url + push_path


class TestChanges:
    def test_nothing(self):
        """What is None changes nothing."""
        before = made()

        assert before.changed() is before
        assert before.changed(timeouts=None, headers=None) is before

    def test_something(self):
        """What is said replaces what was."""
        timeouts, retry = Timeouts(total=1.0), Retry(attempts=1)

        found = made(timeouts=timeouts, retry=retry, max_event_bytes=1, on_event=print)

        assert (found.timeouts, found.retry, found.max_event_bytes, found.on_event) == (timeouts, retry, 1, print)

    def test_headers_add_up(self):
        """Headers are added to those that there are; one of the same name, in any case, is replaced."""
        mine = {"X-Team": "a", "x-app": "b"}

        found = made(headers=mine).changed(headers={"x-team": "c"})

        assert found.headers == {"X-Team": "c", "X-App": "b"}
        assert mine == {"X-Team": "a", "x-app": "b"}

    def test_repr(self):
        """Headers may hold keys, so they are in no repr."""
        assert "sesame" not in repr(made(headers={"X-Api-Key": "sesame"}))

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("timeouts", 5.0),
            ("timeouts", {"total": 5.0}),
            ("retry", 3),
            ("retry", False),
            ("max_event_bytes", 0),
            ("max_event_bytes", -1),
            ("max_event_bytes", 1.5),
            ("max_event_bytes", "1"),
            ("max_event_bytes", True),
            ("on_event", 1),
            ("on_event", "print"),
            ("on_event", anyio.sleep),  # which nobody would await
            ("headers", [("X", "y")]),
            ("headers", {"X": "a\r\nY: b"}),
        ],
    )
    def test_wrong_kinds(self, name, value):
        """A setting of the wrong kind is refused by its name."""
        with pytest.raises(InvalidArgument) as caught:
            made(**{name: value})

        assert caught.value.argument.startswith(name)


FAMILIES = [
    {
        "client_id": "GENESYSCLOUD_OAUTHCLIENT_ID",
        "client_secret": "GENESYSCLOUD_OAUTHCLIENT_SECRET",
        "region": "GENESYSCLOUD_REGION",
        "access_token": "GENESYSCLOUD_ACCESS_TOKEN",
    },
    {"region": "GENESYSCLOUD_API_REGION"},
    {
        "client_id": "GENESYS_CLOUD_CLIENT_ID",
        "client_secret": "GENESYS_CLOUD_CLIENT_SECRET",
        "region": "GENESYS_CLOUD_REGION",
        "access_token": "GENESYS_CLOUD_ACCESS_TOKEN",
    },
    {"client_id": "GENESYS_CLIENT_ID", "client_secret": "GENESYS_CLIENT_SECRET"},
]
VARIABLES = [variable for family in FAMILIES for variable in family.values()]
ID, SECRET = "GENESYSCLOUD_OAUTHCLIENT_ID", "GENESYSCLOUD_OAUTHCLIENT_SECRET"
TOKEN = "GENESYSCLOUD_ACCESS_TOKEN"


class TestEnvironment:
    @pytest.mark.parametrize("argument", ["client_id", "client_secret", "region", "access_token"])
    def test_precedence(self, argument):
        """GENESYSCLOUD_* comes first, then GENESYS_CLOUD_*, then the tutorial's names; an empty one is not set."""
        names = [family[argument] for family in FAMILIES if argument in family]
        environment = {name: f" {name}\n" for name in names}
        for name in names:
            assert from_environment(environment, {}) == {argument: name}
            environment[name] = " "
        assert from_environment(environment, {}) == {}

    @pytest.mark.parametrize(
        ("environment", "arguments", "expected"),
        [
            ({}, {}, {}),
            ({ID: "i", SECRET: "s"}, {}, {"client_id": "i", "client_secret": "s"}),
            ({ID: "i", SECRET: "s", TOKEN: "t"}, {}, {"access_token": "t"}),
            ({ID: "i", SECRET: "s", TOKEN: "t"}, {"access_token": "mine"}, {"access_token": "mine"}),
            ({ID: "i", SECRET: "s", TOKEN: "t"}, {"client_id": "mine"}, {"client_id": "mine", "client_secret": "s"}),
            (
                {ID: "i", SECRET: "s", TOKEN: "t"},
                {"client_secret": "mine"},
                {"client_id": "i", "client_secret": "mine"},
            ),
            ({ID: "i", SECRET: "s", TOKEN: "t"}, {"credentials": "mine"}, {"credentials": "mine"}),
            ({ID: "i", SECRET: "s"}, {"access_token": "mine"}, {"access_token": "mine"}),
            ({"GENESYSCLOUD_REGION": "eu-west-1"}, {"region": "us-east-1"}, {"region": "us-east-1"}),
            ({"GENESYSCLOUD_REGION": "eu-west-1"}, {"region": None}, {"region": "eu-west-1"}),
            ({TOKEN: "t"}, {"client_id": None, "credentials": None}, {"access_token": "t"}),
            ({ID: "i"}, {"scopes": ()}, {"client_id": "i", "scopes": ()}),
        ],
    )
    def test_with_arguments(self, environment, arguments, expected):
        """Arguments win over the environment, and of two ways to authorise only one is left."""
        assert expected == from_environment(environment, arguments)

    @given(
        st.dictionaries(st.sampled_from(VARIABLES), st.sampled_from(["", " ", "x", " y "])),
        st.dictionaries(
            st.sampled_from(["client_id", "client_secret", "region", "access_token", "credentials"]),
            st.none() | st.just("mine"),
            max_size=2,
        ),
    )
    def test_any_environment(self, environment, arguments):
        """Whatever is set, nothing given is lost, nothing is blank, and the environment adds one way to authorise."""
        found = from_environment(environment, arguments)
        given_ = {name: value for name, value in arguments.items() if value is not None}

        assert given_.items() <= found.items()
        assert all(value.strip() == value != "" for value in found.values())
        added = found.keys() - given_.keys() - {"region"}
        assert not ("access_token" in added and added & {"client_id", "client_secret"})
        assert not ("access_token" in added and given_.keys() - {"region"})
        assert not ("credentials" in given_ and added)

    def test_missing(self):
        """The error for no credentials says what to set."""
        error = missing_credentials()

        assert isinstance(error, ConfigurationError)
        assert ID in str(error)
        assert SECRET in str(error)

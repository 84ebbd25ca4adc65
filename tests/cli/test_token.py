"""`token`: what is wrong with the credentials, in words."""

import pytest

from .conftest import SECRET


def test_good_credentials_are_reported_and_not_shown(run, credentials, fake):
    fake.expires_in = 3661
    result = run("token")

    assert (result.code, result.err) == (0, "")
    assert f"login:       {credentials.base_url}\n" in result.out
    assert f"region:      {credentials.base_url} (GENESYSCLOUD_REGION)\n" in result.out
    assert "GENESYSCLOUD_OAUTHCLIENT_ID and GENESYSCLOUD_OAUTHCLIENT_SECRET" in result.out
    assert "good for 1 h 1 min 1 s" in result.out
    assert SECRET not in result.out
    assert not [token for token in fake.issued_tokens if token in result.out]


@pytest.mark.parametrize("prefix", ["GENESYSCLOUD_OAUTHCLIENT", "GENESYS_CLOUD_CLIENT", "GENESYS_CLIENT"])
def test_a_missing_variable_is_named(run, environment, prefix):
    nothing = run("token")
    environment.setenv(f"{prefix}_ID", "x")
    half = run("token")

    assert (nothing.code, half.code) == (2, 2)
    assert "GENESYSCLOUD_OAUTHCLIENT_ID and GENESYSCLOUD_OAUTHCLIENT_SECRET are not set" in nothing.err
    assert f"GENESYSCLOUD_OAUTHCLIENT_SECRET is not set in the environment, though {prefix}_ID is" in half.err


def test_an_unknown_region_is_reported_with_the_known_ones(run, credentials):
    result = run("token", "--region", "eu-middle-9")

    assert result.code == 2
    assert "'eu-middle-9' is not known" in result.err
    assert "eu-west-1" in result.err


def test_a_wrong_secret_is_reported(run, credentials, environment):
    environment.setenv("GENESYSCLOUD_OAUTHCLIENT_SECRET", "wrong-secret")
    result = run("token")

    assert result.code == 4
    assert "the secret does not belong to this client" in result.err
    assert "wrong-secret" not in result.err


def test_throttling_is_reported_and_not_waited_for(run, credentials, fake):
    fake.tokens.fail(429, headers={"Retry-After": "60"}, times=None)
    result = run("token")

    assert result.code == 5
    assert "wait for 60 seconds" in result.err
    assert len(fake.tokens.requests) == 1


def test_a_place_that_cannot_be_reached_is_reported(run, credentials):
    with credentials.refusing():
        result = run("token")

    assert result.code == 5
    assert "network" in result.err


def test_an_answer_that_is_no_token_is_reported(run, credentials, fake):
    fake.tokens.answer(200, body=b"<html>Please log in to the wifi</html>")
    result = run("token")

    assert result.code == 1
    assert "Traceback" not in result.err


def test_a_token_of_ones_own_is_not_asked_for(run, credentials, environment, fake):
    environment.setenv("GENESYSCLOUD_ACCESS_TOKEN", "my-own-token")
    result = run("token")

    assert (result.code, fake.request_log) == (0, [])
    assert "GENESYSCLOUD_ACCESS_TOKEN" in result.out
    assert "my-own-token" not in result.out

"""`doctor`: what is wrong with a setup, and what to do about it."""

from .conftest import SECRET


def rows(result):
    return dict(line.split(":", 1) for line in result.out.splitlines() if not line.startswith(" "))


def test_a_good_setup(run, credentials, fake):
    result = run("doctor")

    found = rows(result)
    assert (result.code, result.err) == (0, "")
    assert found["region"].strip() == f"{credentials.base_url} (GENESYSCLOUD_REGION)"
    assert all(found[name].strip().startswith("ok: ") for name in ("token", "completions", "push", "dry push"))
    assert SECRET not in result.out
    assert fake.pushes == []
    assert [entry.status for entry in fake.request_log] == [200, 400, 400]


def test_the_sandbox_is_a_good_setup(run):
    result = run("doctor", "--sandbox")

    assert result.code == 0
    assert "FAILED" not in result.out


def test_every_failure_has_its_hint(run, credentials, environment, fake):
    environment.delenv("MOBILE_DEVICE_TOKEN")
    fake.completions.fail(404)
    fake.push.fail(403)
    result = run("doctor")

    assert result.code == 1
    assert "ok: good for" in rows(result)["token"]
    assert "FAILED: " in rows(result)["completions"] and "--completions-path" in result.out
    assert "FAILED: " in rows(result)["push"] and "role" in result.out
    assert "FAILED: " in rows(result)["dry push"] and "MOBILE_DEVICE_TOKEN" in result.out


def test_a_wrong_secret(run, credentials, environment):
    environment.setenv("GENESYSCLOUD_OAUTHCLIENT_SECRET", "wrong-secret")
    result = run("doctor")

    assert result.code == 4
    assert "the secret does not belong to this client" in result.out
    assert "wrong-secret" not in result.out


def test_an_access_token(run, credentials, environment, fake):
    environment.setenv("GENESYSCLOUD_ACCESS_TOKEN", fake.issue_token())
    good = run("doctor")
    fake.revoke_tokens()
    bad = run("doctor")

    assert (good.code, bad.code) == (0, 4)
    assert "check GENESYSCLOUD_ACCESS_TOKEN" in bad.out


def test_a_service_that_cannot_be_reached(run, credentials):
    with credentials.refusing():
        result = run("doctor")

    assert result.code == 5
    assert result.out.count("FAILED") == 1
    assert result.out.count("not checked, because there is no token") == 2
    assert "ok: 1 phone" in result.out


def test_missing_credentials(run, environment):
    result = run("doctor")

    assert result.code == 2
    assert "GENESYSCLOUD_OAUTHCLIENT_ID" in result.err

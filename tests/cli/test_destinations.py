"""`relay --to`: push services, several at once, and the sandbox that serves their fakes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

QUICK = ("relay", "--sandbox", "--token-interval", "0", "--json")
NEEDS = {
    "fcm": ("google.auth", "cryptography"),
    "apns": ("pyqwest", "jwt", "cryptography", "h2"),
    "webpush": ("cryptography",),
}


@pytest.fixture
def environment(environment):
    """Nothing of any service in it, either."""
    for name in list(os.environ):
        if name.startswith(("APNS_", "VAPID_", "GOOGLE_", "WEBPUSH_")):
            environment.delenv(name)
    return environment


@pytest.fixture(params=[*NEEDS])
def service(request):
    """Each push service whose packages are installed."""
    for package in NEEDS[request.param]:
        pytest.importorskip(package, reason=f"{package} of the extra [{request.param}] is not installed")
    return request.param


def all_installed():
    for service, packages in NEEDS.items():
        for package in packages:
            pytest.importorskip(package, reason=f"{package} of the extra [{service}] is not installed")


def test_the_sandbox_shows_each_service_without_credentials(run, service):
    """What the device of the service got makes the same text."""
    result = run(*QUICK, "--to", service, "hi")

    report = result.report
    assert (result.code, result.err) == (0, "")
    assert report["to"] == service
    assert report["phone"] == {"text": report["text"], "payloads": report["pushes"], "agrees": True}
    assert {line["to"] for line in result.events("push")} == {service}


def test_a_token_of_apples_may_be_in_capitals(run):
    """It is the same device."""
    for package in NEEDS["apns"]:
        pytest.importorskip(package, reason=f"{package} of the extra [apns] is not installed")

    assert run(*QUICK, "--to", "apns:C0FFEE", "hi").report["phone"]["agrees"]


def test_several_at_once_each_have_a_report(run):
    """The answer is asked for once; each destination is named in its lines."""
    all_installed()
    given = ("--to", "genesys:a", "--to", "fcm", "--to", "apns", "--to", "webpush", "--to", "genesys:b")
    result = run(*QUICK, *given, "--target", "c", "hi")

    reports = result.events("report")
    assert result.code == 0
    assert [report.get("to", "") for report in reports] == ["", "genesys", "fcm", "apns", "webpush", "genesys-2"]
    assert all(report["phone"]["agrees"] for report in reports)


def test_lines_name_the_destination(run):
    """As for people."""
    result = run("relay", "--sandbox", "--token-interval", "0", "--to", "genesys", "--to", "genesys:b", "hi")

    assert result.code == 0
    assert re.search(r"^relaying from the sandbox at \S+ to 2 phones$", result.out, re.MULTILINE)
    assert re.search(r"^push 1 to genesys-2: \d+ bytes?, ", result.out, re.MULTILINE)
    assert re.findall(r"^to: +(\S+)$", result.out, re.MULTILINE) == ["genesys", "genesys-2"]


def test_the_target_of_the_environment_is_left_out(run, credentials, fake):
    """`--to` says it all."""
    result = run("relay", "--json", "--to", "genesys:phone-9", "hi")

    assert result.code == 0
    assert {tuple(push["targets"]) for push in fake.pushes} == {("phone-9",)}


@pytest.mark.parametrize("value", ["fcm", "fcm:", "sms:1", "token", "webpush"])
def test_a_destination_that_makes_no_sense_is_refused(run, credentials, fake, value):
    """Before anything is asked."""
    result = run("relay", "--to", value, "hi")

    assert result.code == 2
    assert "--to must be" in result.err
    assert fake.request_log == []


def test_a_dry_run_sends_nothing(run, service):
    """To no service."""
    result = run(*QUICK, "--dry-run", "--to", service, "hi")

    assert result.code == 0
    assert result.report["phone"] is None
    assert {line["receipt"]["status"] for line in result.events("push")} == {"dry_run"}


@pytest.mark.parametrize(
    ("value", "variables"),
    [
        ("fcm:token", ["GOOGLE_APPLICATION_CREDENTIALS"]),
        ("apns:abcd", ["not set in the environment: APNS_KEY_FILE, APNS_KEY_ID, APNS_TEAM_ID, APNS_TOPIC"]),
        ("webpush:none.json", ["VAPID_PRIVATE_KEY"]),
    ],
)
def test_missing_credentials_are_named(run, credentials, environment, fake, tmp_path, value, variables):
    """Before anything is asked."""
    for package in NEEDS[value.partition(":")[0]]:
        pytest.importorskip(package, reason=f"{package} of an extra is not installed")
    environment.setenv("NO_GCE_CHECK", "true")
    environment.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    result = run("relay", "--to", value, "hi")

    assert result.code == 2
    assert all(variable in result.err for variable in variables)
    assert fake.request_log == []


def test_a_file_that_is_not_there_is_named(run, credentials, environment):
    """A subscription is a file, not a token."""
    pytest.importorskip("cryptography", reason="cryptography of the extra [webpush] is not installed")
    from genesys_stream.cli._destinations import vapid_key

    environment.setenv("VAPID_PRIVATE_KEY", vapid_key())
    environment.setenv("VAPID_SUBJECT", "mailto:me@example.com")
    result = run("relay", "--to", "webpush:none.json", "hi")

    assert result.code == 2
    assert "the file with the subscription cannot be read" in result.err


@pytest.mark.parametrize(
    ("command", "service", "packages"),
    [
        ("relay", "fcm", ("google.auth",)),
        ("relay", "fcm", ("cryptography",)),
        ("relay", "fcm", ("google", "cryptography")),
        ("relay", "apns", ("jwt",)),
        ("relay", "apns", ("pyqwest",)),
        ("relay", "apns", ("h2",)),
        ("relay", "apns", ("pyqwest", "jwt", "cryptography", "h2")),
        ("relay", "webpush", ("cryptography",)),
        ("sandbox", "fcm", ("cryptography",)),
        ("sandbox", "apns", ("h2",)),
        ("sandbox", "webpush", ("cryptography",)),
    ],
)
def test_a_missing_package_is_named(finish, environment, command, service, packages):
    """With the line that installs it, whichever of them it is."""
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({packages!r}))\n"
        "from genesys_stream.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    arguments = (*QUICK, "--to", service, "hi") if command == "relay" else ("sandbox", "--service", service)
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    result = finish(process)

    assert result.code == 2
    assert "Traceback" not in result.err
    assert f'pip install "genesys-stream[{service}]"' in result.err


def test_the_sandbox_serves_the_fakes_to_other_terminals(spawn, run, environment, service):
    """What it prints is all that a relay needs."""
    process = spawn("sandbox", "--token-interval", "0", "--service", service)
    lines = {"fcm": 6, "apns": 9, "webpush": 7}[service]
    for _ in range(lines):
        name, _, value = process.stdout.readline().decode().removeprefix("export ").strip().partition("=")
        environment.setenv(name, value)
    token = {"fcm": "token", "apns": "abcd" * 16, "webpush": os.environ.get("WEBPUSH_SUBSCRIPTION")}[service]
    result = run("relay", "--json", "--allow-insecure-http", "--to", f"{service}:{token}", "hi")
    process.terminate()
    printed = process.communicate(timeout=60)[1].decode()

    assert (result.code, result.err) == (0, "")
    assert result.report["undelivered"] == 0
    assert len(re.findall(r"POST /(?:v1/projects|3/device|wpush)/\S+ 20[01]", printed)) == result.report["pushes"]


def test_a_dead_token_is_undelivered(spawn, run, environment):
    """The exit code says so, and the error names the destination, and no token."""
    pytest.importorskip("cryptography", reason="cryptography of the extra [webpush] is not installed")
    process = spawn("sandbox", "--token-interval", "0", "--service", "webpush")
    for _ in range(7):
        name, _, value = process.stdout.readline().decode().removeprefix("export ").strip().partition("=")
        environment.setenv(name, value)
    file = Path(os.environ["WEBPUSH_SUBSCRIPTION"])
    subscription = json.loads(file.read_text(encoding="utf-8"))
    subscription["endpoint"] += "-gone"
    file.write_text(json.dumps(subscription), encoding="utf-8")
    result = run("relay", "--allow-insecure-http", "--to", f"webpush:{file}", "--to", "genesys:a", "hi")

    assert result.code == 3
    assert "text could not be delivered to webpush: the subscription has ended: " in result.err
    assert "it has to register again" in result.err
    assert "-gone" not in result.err + result.out
    assert re.search(r"^to: +genesys$", result.out, re.MULTILINE)

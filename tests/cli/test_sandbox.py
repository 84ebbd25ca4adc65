"""`sandbox`: its options and what it prints; test_signals.py shows that it serves until it is stopped."""

import os
import re
import socket

import httpx
import pytest


@pytest.mark.parametrize("limit", ["300", "x/60", "300/0", "-1/60", "300/60/1"])
def test_a_rate_limit_is_a_number_of_requests_in_seconds(run, limit):
    result = run("sandbox", "--rate-limit", limit)

    assert result.code == 2
    assert "300/60" in result.err


def test_a_port_in_use_is_reported(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("sandbox", "--port", str(port))

    assert result.code == 2
    assert f"port {port}" in result.err


@pytest.fixture
def served(spawn, environment):
    """Start a sandbox, and point the environment at it."""

    def start(*options):
        process = spawn("sandbox", "--token-interval", "0", *options)
        for _ in range(4):
            name, _, value = process.stdout.readline().decode().removeprefix("export ").strip().partition("=")
            environment.setenv(name, value)
        return process

    return start


def stop(process):
    process.terminate()
    printed = process.communicate(timeout=60)[1].decode()
    return printed.replace("Paste these lines into another terminal. Ctrl-C stops the sandbox.\n", "")


def test_each_request_and_each_push_is_a_line(served, run):
    process = served()
    relayed = run("relay", "--json", "--coalescer", "sentence", "How does Go stream HTTP?")
    lines = stop(process).splitlines()

    pushes = [line for line in lines if "/notifications/push 202  push " in line]
    assert len(pushes) == relayed.report["pushes"]
    assert re.fullmatch(r'\d\d:\d\d:\d\d POST \S+ 202  push 1 to sandbox-phone: "Go streams .*"', pushes[0])
    assert [line for line in lines if '/llm/completions 200  "How does Go stream HTTP?"' in line]
    assert [line for line in lines if line.endswith("POST /oauth/token 200")]
    assert len(lines) == len(pushes) + 2


@pytest.mark.parametrize("options", [("sandbox", "-v"), ("-v", "sandbox")])
def test_more_is_printed_with_v(spawn, run, environment, options):
    """Bodies and correlation ids, but no secret."""
    process = spawn(*options)
    for _ in range(4):
        name, _, value = process.stdout.readline().decode().removeprefix("export ").strip().partition("=")
        environment.setenv(name, value)
    pushed = run("push", "--body", "Your answer is ready", "--json")
    printed = stop(process)

    assert f"correlation id {pushed.lines[0]['correlation_id']}, connection " in printed
    assert '{"targets":["sandbox-phone"],' in printed
    assert "client-secret" not in printed and "Bearer" not in printed


def test_a_request_that_makes_no_sense_is_a_line_too(served, environment):
    process = served()
    url = os.environ["GENESYSCLOUD_REGION"]
    with httpx.Client(trust_env=False) as http:
        http.get(url + "/%1b[2J?secret=1")
        http.post(url + "/api/v2/notifications/push", content=b"[1]")
    lines = stop(process).splitlines()

    assert [line[9:] for line in lines] == ["GET /\ufffd[2J 404", "POST /api/v2/notifications/push 401"]

"""`sandbox`: its options; that it serves is shown in test_signals.py, where it is stopped, too."""

import socket

import pytest


@pytest.mark.parametrize("limit", ["300", "x/60", "300/0", "-1/60", "300/60/1"])
def test_a_rate_limit_is_a_number_of_requests_in_seconds(run, limit):
    result = run("sandbox", "--rate-limit", limit)

    assert result.code == 2
    assert "300/60" in result.err


def test_a_port_in_use_is_told(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("sandbox", "--port", str(port))

    assert result.code == 2
    assert f"port {port}" in result.err

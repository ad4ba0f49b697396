"""`toji doctor` on a real engine."""

import json
import socket

from tests.toji.conftest import Toji


def test_it_sees_the_engine(toji: Toji) -> None:
    toji.declare(server={})
    answer = json.loads(toji("doctor", "--json").stdout)
    checks = {check["name"]: check for check in answer["checks"]}
    assert answer["ok"]
    assert checks["engine"]["finding"].startswith(("Docker ", "Podman "))
    assert {"machine", "storage driver", "disk", "cgroups", "confinement", "capabilities",
            "ports", "clock", "proxies", "koji client"} <= set(checks)  # fmt: skip
    shown = toji("doctor").stdout
    for check in checks.values():
        assert f" {check['name']} " in shown


def test_a_port_that_is_taken_prevents_a_system(toji: Toji) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        toji.declare(server={"ports": [f"{port}:80"]})
        shown = toji("doctor", status=1).stdout
    assert f"in use: 127.0.0.1:{port}" in shown
    assert "ports: choose other host ports" in shown
    toji("up")
    toji("doctor")  # the system's own port is no problem

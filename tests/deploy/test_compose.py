"""deploy/compose.yaml: Docker Compose accepts it, and it starts what it should from files that are there."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from server.child import tied_to_parent
from tests.rig.process import ROOT, Run
from tests.rig.redis import RedisServer, free_port, until
from tests.rig.server import until as until_async
from tests.rig.tls_proxy import program


def compose(folder: Path, env: str) -> "subprocess.CompletedProcess[str]":
    """What Docker Compose reads from the file, beside a .env of the example and these lines."""
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    (folder / "deploy" / ".env").write_text((ROOT / ".env.example").read_text() + env)
    return subprocess.run(
        [program("docker-compose"), "config", "--format", "json"],
        cwd=folder / "deploy",
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def services(folder: Path) -> dict[str, dict[str, Any]]:
    """The services with a host name of ours."""
    found = compose(folder, "SITE_ADDRESS=counter.example.org\n")
    assert (0, "") == (found.returncode, found.stderr)
    return dict(json.loads(found.stdout)["services"])


def test_compose_reads_what_we_mean(tmp_path: Path) -> None:
    """The web and the workers get the settings that follow from the file, whatever .env says; only Caddy has ports."""
    found = services(tmp_path)

    assert {"web", "worker", "valkey", "caddy"} == set(found)
    assert {"caddy"} == {name for name, one in found.items() if one.get("ports")}
    assert "9101" == found["worker"]["environment"]["WORKER_PORT"]
    assert "WORKER_PORT" in str(found["worker"]["healthcheck"]["test"])
    for name in ("web", "worker"):
        settings = found[name]["environment"]
        assert (name,) == tuple(found[name]["command"])
        assert ("redis://valkey:6379/0", "https://counter.example.org", "0.0.0.0", "8000") == tuple(
            settings[one] for one in ("REDIS_URL", "PUBLIC_URL", "HOST", "PORT")
        )
        assert found[name]["read_only"]
    assert "web:8000" == found["caddy"]["environment"]["UPSTREAM"]


def test_proxies_are_trusted_by_their_network(tmp_path: Path) -> None:
    """The network that Caddy and the web share is the one whose X-Forwarded-For is trusted."""
    found = compose(tmp_path, "SITE_ADDRESS=counter.example.org\n")
    whole = json.loads(found.stdout)
    [subnet] = (one["subnet"] for one in whole["networks"]["front"]["ipam"]["config"])

    assert subnet == whole["services"]["web"]["environment"]["TRUSTED_PROXIES"]
    assert {"front"} == whole["services"]["caddy"]["networks"].keys() & whole["services"]["web"]["networks"].keys()


def test_a_missing_host_name_is_told(tmp_path: Path) -> None:
    """Without SITE_ADDRESS nothing starts, and the message says where it is set."""
    found = compose(tmp_path, "")

    assert "" == found.stdout
    assert "set it in deploy/.env" in found.stderr


async def test_a_worker_is_asked_for_its_health(tmp_path: Path, command: Run, redis_url: str) -> None:
    """The check of the worker's service is healthy while a worker runs with its settings, and not after it has ended."""
    worker = services(tmp_path)["worker"]
    port = str(free_port())
    check = ["python", *worker["healthcheck"]["test"][2:]]

    def healthy() -> bool:
        found = subprocess.run(check, env={**os.environ, "WORKER_PORT": port}, capture_output=True, check=False)
        return found.returncode == 0

    assert "9101" == worker["environment"]["WORKER_PORT"]
    assert "redis://valkey:6379/0" == worker["environment"]["REDIS_URL"]
    running = command(*worker["command"], REDIS_URL=redis_url, WORKER_PORT=port)
    await until_async(healthy)
    await running.stop()
    assert not healthy()


def test_mounted_files_are_there(tmp_path: Path) -> None:
    """Each file of the checkout that a service mounts exists."""
    mounted = [
        Path(volume["source"])
        for one in services(tmp_path).values()
        for volume in one.get("volumes", ())
        if volume["type"] == "bind" and not volume["source"].endswith("/config")
    ]

    assert ["Caddyfile", "redis.conf"] == sorted(path.name for path in mounted)
    assert all((ROOT / path.relative_to(tmp_path)).is_file() for path in mounted)


def test_valkey_takes_its_command(tmp_path: Path) -> None:
    """The arguments of the Valkey in compose.yaml are ones that Valkey accepts, and add up to a server that we accept."""
    words = services(tmp_path)["valkey"]["command"]
    redis = RedisServer(tmp_path)
    places = {"valkey-server": redis.binary, "/etc/valkey/redis.conf": str(ROOT / "redis.conf"), "/data": str(tmp_path)}
    command = [*(places.get(word, word) for word in words), "--port", str(redis.port)]
    with subprocess.Popen(tied_to_parent(command), stdout=subprocess.DEVNULL) as process:
        try:
            until(redis._answers, lambda: f"it does not answer; {process.poll()=}")
            config = redis.ask("CONFIG", "GET", "bind", "appendonly", "maxmemory-policy", "maxmemory", "protected-mode")
        finally:
            process.terminate()

    assert {
        "bind": "* -::*",
        "appendonly": "yes",
        "maxmemory-policy": "noeviction",
        "maxmemory": str(512 * 1024**2),
        "protected-mode": "no",
    } == config

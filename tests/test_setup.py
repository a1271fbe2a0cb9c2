import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHON = """#!/bin/sh
case $* in
*" pip install "*) echo "$PIP_USER" >>"$0.calls" ;;
esac
"""


def test_setup_where_pip_installs_for_the_user(tmp_path: Path) -> None:
    """Where pip is told to install for the user, which it refuses to do in an environment, scripts/setup tells it otherwise."""
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup", tmp_path / "scripts")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)

    # Only the programs of the system: with uv there would be no pip.
    environment = {**os.environ, "PIP_USER": "1", "PATH": "/usr/bin:/bin"}
    subprocess.run([tmp_path / "scripts" / "setup"], env=environment, check=True, capture_output=True)

    assert {"0"} == set(Path(f"{python}.calls").read_text().split())
    assert (tmp_path / ".venv" / "requirements.lock.done").exists()

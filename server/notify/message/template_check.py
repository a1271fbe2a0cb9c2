"""Checks an organiser's templates in a process of its own, which is ended when they take too long.

In: the organiser's folder, and who writes. Out: a Renderer whose templates were all tried, or NotStarted, which names the file. A
template can loop for ever, and nothing in a process ends that: the counter, which runs beside notify, would not start. Without
templates of one's own there is no such process. As a program: reads what to check as JSON from standard input, and tells what it does in lines of JSON.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from server.child import exit_reason, tied_to_parent
from server.errors import NotStarted
from server.notify.message.languages import PATTERN
from server.notify.message.renderer import Renderer

WITHIN = 10.0
"""Seconds for all templates in all languages."""
MEMORY = 512 * 1024 * 1024
"""Bytes of addresses that the process may use (RLIMIT_AS)."""


def checked_renderer(sender: str, address: str, *, own: Path | None = None, default: str = PATTERN) -> Renderer:
    """A renderer as Renderer describes it, all of whose templates were tried; raises NotStarted. Waits for WITHIN at most."""
    made = Renderer(sender, address, own=own, default=default)
    if own is None or not made.has_own_templates:
        made.check()
        return made
    asked = json.dumps({"sender": sender, "address": address, "own": str(own.absolute()), "default": default})
    at, fault = str(own), ""
    try:
        ended = subprocess.run(  # noqa: S603 - our own command
            tied_to_parent([sys.executable, "-m", __name__]),
            input=asked.encode(),
            capture_output=True,
            timeout=WITHIN,
            check=False,
            env=_environment(),
        )
    except subprocess.TimeoutExpired as error:
        at, _ = _told(error.stdout or b"", at)
        raise NotStarted(f"{at}: it takes too long: all templates together have {WITHIN:g} s") from None
    except OSError as error:
        raise NotStarted(f"{at}: the templates cannot be checked: {error}") from None
    at, fault = _told(ended.stdout, at)
    if fault:
        raise NotStarted(fault)
    if ended.returncode:
        words = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise NotStarted(f"{at}: the check of it ended ({exit_reason(ended.returncode)}) {words}".rstrip())
    return made


def _told(output: bytes, at: str) -> tuple[str, str]:
    """The file that the process was at last, and what was wrong; *at* where it was at none yet."""
    fault = ""
    for line in output.split(b"\n")[:-1]:
        said = json.loads(line)
        at, fault = said.get("at", at), said.get("fault", fault)
    return at, fault


def _environment() -> dict[str, str]:
    """What Python needs to start as it did here: the secrets of the environment are not for templates."""
    kept = {"PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH"}
    return {name: value for name, value in os.environ.items() if name in kept or name.startswith("PYTHON")}


def _tell(**said: str) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Check what standard input asks for."""
    asked = json.load(sys.stdin)
    with contextlib.suppress(OSError, ValueError):  # not every system has both
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (int(WITHIN) + 1, int(WITHIN) + 2))
    try:
        made = Renderer(asked["sender"], asked["address"], own=Path(asked["own"]), default=asked["default"])
        made.check(lambda file: _tell(at=file))
    except NotStarted as error:
        _tell(fault=str(error))


if __name__ == "__main__":
    main()

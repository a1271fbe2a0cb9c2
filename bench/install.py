"""Downloads the software of the peers when first needed, into `.peers` of the checkout.

In: which software. Out: its folder, or Unavailable with the reason in one line. Debian packages are unpacked, not
installed: no service is started, and the machine is not changed, except for one empty folder for nginx.
"""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distributions, version
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".peers"
TIMEOUT_S = 300.0
"""Time-out of one download; it usually takes ten seconds."""

NGINX = Path("/var/lib/nginx")

DEBIAN = ("nginx", "libnginx-mod-nchan", "mosquitto")
NPM = ("ws@8", "bufferutil@4", "socket.io@4", "@socket.io/redis-adapter@8", "redis@5")
SHARED = ("hiredis", "uvicorn", "uvloop", "websockets")
"""Packages of the peers' virtual environment that have the same versions as in the project's."""
PYPI = ("channels==4.*", "channels_redis==4.*", *(f"{name}=={version(name)}" for name in SHARED))


class Unavailable(Exception):
    """A peer cannot be installed here; the text says why, and what would help."""


@functools.cache
def debian() -> Path:
    """The folder with nginx, Nchan and Mosquitto, unpacked with the same paths as below `/`."""
    folder = FOLDER / "debian"
    if _installed(folder, DEBIAN):
        return folder
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Unavailable(f"apt-get is missing: on Debian or Ubuntu it downloads {', '.join(DEBIAN)}")
    _make_empty(folder)
    lists, cache = folder / "apt" / "lists", folder / "apt" / "cache"
    for one in (lists, cache / "archives"):
        (one / "partial").mkdir(parents=True)
    apt = ["apt-get", "-qq", "-y", "--no-install-recommends", "-o", f"Dir::State::lists={lists}"]
    apt += ["-o", f"Dir::Cache={cache}", "-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=true"]
    _run([*apt, "update"])
    # The packages themselves are always downloaded; dependencies only if the machine does not have them.
    _run([*apt, "install", "--download-only", "--reinstall", *DEBIAN])
    versions = {}
    for package in sorted((cache / "archives").glob("*.deb")):
        _run(["dpkg-deb", "-x", str(package), str(folder)])
        name, its = _run(["dpkg-deb", "-W", "--showformat", "${Package} ${Version}", str(package)]).split()
        versions[name] = its
    shutil.rmtree(folder / "apt")
    (folder / "versions.json").write_text(json.dumps(versions))
    _finish(folder, DEBIAN)
    return folder


def nchan() -> Path:
    """As debian(), and the default folder of nginx, in which Nchan creates files whatever the configuration."""
    folder = debian()
    try:
        NGINX.mkdir(exist_ok=True)
    except PermissionError:
        raise Unavailable(f"it needs an empty folder {NGINX}: create it as root") from None
    return folder


@functools.cache
def npm() -> Path:
    """The folder `node_modules` of the peers on Node."""
    folder = FOLDER / "npm"
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is missing: install Node with npm (Debian: apt-get install nodejs npm)")
    if not _installed(folder, NPM):
        _make_empty(folder)
        _run(["npm", "install", "--loglevel=error", "--no-audit", "--no-fund", "--prefix", str(folder), *NPM])
        _finish(folder, NPM)
    return folder / "node_modules"


@functools.cache
def pypi() -> Path:
    """The Python of the virtual environment for peers that the project's environment does not contain."""
    folder = FOLDER / "pypi"
    if not _installed(folder, PYPI):
        _make_empty(folder)
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *PYPI])
        _finish(folder, PYPI)
    return folder / "bin" / "python"


def debian_version(package: str) -> str:
    """The upstream version: without Debian's epoch and revision."""
    found = str(json.loads((debian() / "versions.json").read_text())[package])
    return re.sub(r"^\d+:|[+-].*$", "", found)


def npm_version(package: str) -> str:
    """The version of the package, and of Node."""
    found = json.loads((npm() / package / "package.json").read_text())["version"]
    return f"{found}, Node {_run(['node', '--version']).strip().removeprefix('v')}"


def pypi_version(package: str) -> str:
    """The version in the peers' environment."""
    held = pypi().parent.parent.glob("lib/python*/site-packages")
    return next(one.version for one in distributions(path=[str(one) for one in held], name=package))


def _installed(folder: Path, wanted: tuple[str, ...]) -> bool:
    """Whether this folder is complete and has the same packages."""
    stamp = folder / "done"
    return stamp.exists() and stamp.read_text() == " ".join(wanted)


def _finish(folder: Path, wanted: tuple[str, ...]) -> None:
    (folder / "done").write_text(" ".join(wanted))


def _make_empty(folder: Path) -> None:
    """Create an empty folder, without the remains of an earlier attempt."""
    print(f"downloading peers into {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _run(command: list[str]) -> str:
    """The output of a command; raises Unavailable with the last line of its errors."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(
            f"{Path(command[0]).name} did not finish within {TIMEOUT_S:.0f} s: is there a network?"
        ) from None
    except (OSError, subprocess.CalledProcessError) as fault:
        last = str(getattr(fault, "stderr", "") or fault).strip().splitlines()[-1]
        raise Unavailable(f"`{' '.join(command[:4])} …` failed, run again with a network: {last}") from None
    return done.stdout

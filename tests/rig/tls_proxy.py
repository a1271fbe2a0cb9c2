"""The proxies of deploy/ as they are shipped, in front of a server: nginx, Caddy and HAProxy, with TLS.

`async with tls_proxy("nginx", folder, certificate, port) as proxy`. Only what has to differ on another machine is replaced: the
name of the host, ports, paths. Each replaced text must be there, so that a file that was changed is not tested without it.
"""

import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from server.child import tied_to_parent
from tests.rig.haproxy import listens
from tests.rig.process import ROOT
from tests.rig.redis import free_port
from tests.rig.server import until
from tests.rig.tls_certificate import Certificate

KINDS = ("nginx", "caddy", "haproxy")

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    include {folder}/site.conf;
}}
"""
"""The rest of a machine's configuration of nginx: the file of deploy/ is one site of it."""

CADDY = """\
{{
	admin off
	http_port {port}
	log {{
		output file {folder}/access.log
	}}
}}
"""


@dataclass(frozen=True)
class TlsProxy:
    """A running proxy: its addresses over TLS and without it, and what it has logged."""

    kind: str
    url: str
    plain: str
    folder: Path

    @property
    def log(self) -> str:
        """Its access log and its messages."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*log")))


@dataclass(frozen=True)
class Prepared:
    """A proxy's configuration in *folder*, the commands that check it and run it, and the ports that it will have."""

    kind: str
    folder: Path
    check: list[str]
    run: list[str]
    ports: tuple[int, int]
    environment: Mapping[str, str]

    def checked(self) -> str:
        """Have the program check its configuration; answers what it says, with its exit status."""
        found = subprocess.run(self.check, env=self.environment, capture_output=True, text=True, check=False)
        return f"exit {found.returncode}\n{found.stdout}{found.stderr}"


def prepare(kind: str, folder: Path, certificate: Certificate, upstream: int) -> Prepared:
    """Write the configuration of a proxy in front of the server at the port *upstream* of 127.0.0.1."""
    folder.mkdir(parents=True)
    secure, plain = ports = free_port(), free_port()
    if kind == "nginx":
        replaced(
            "deploy/nginx.conf",
            folder / "site.conf",
            {
                "listen [::]:80;": "",
                "listen [::]:443 ssl http2;": "",
                "listen 80;": f"listen 127.0.0.1:{plain};",
                "listen 443 ssl": f"listen 127.0.0.1:{secure} ssl",
                "server_name counter.example.org;": "server_name localhost;",
                "https://counter.example.org$request_uri": f"https://localhost:{secure}$request_uri",
                "/etc/letsencrypt/live/counter.example.org/fullchain.pem": str(certificate.certificate),
                "/etc/letsencrypt/live/counter.example.org/privkey.pem": str(certificate.key),
                "127.0.0.1:8000": f"127.0.0.1:{upstream}",
            },
        )
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, user=user))
        words = [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
        check, run = [*words, "-t"], words
    elif kind == "caddy":
        replaced(
            "deploy/Caddyfile",
            folder / "Caddyfile",
            {
                "# tls /etc/caddy/counter.crt /etc/caddy/counter.key": f"tls {certificate.certificate} {certificate.key}",
            },
            before=CADDY.format(port=plain, folder=folder),
        )
        words = ["--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
        check, run = [program("caddy"), "validate", *words], [program("caddy"), "run", *words]
    else:
        replaced(
            "deploy/haproxy.cfg",
            folder / "haproxy.cfg",
            {
                "maxconn 20000": "maxconn 2000",
                "bind :80": f"bind 127.0.0.1:{plain}",
                "bind :443": f"bind 127.0.0.1:{secure}",
                "redirect scheme https code": f"redirect prefix https://localhost:{secure} code",
                "/etc/haproxy/counter.pem": str(certificate.both),
                "server web1 127.0.0.1:8000": f"server web1 127.0.0.1:{upstream}",
                "server web2 127.0.0.1:8001": "server web2 127.0.0.1:9",
            },
        )
        words = ["-f", str(folder / "haproxy.cfg")]
        check, run = [program("haproxy"), "-c", *words], [program("haproxy"), "-db", *words]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "SITE_ADDRESS": f"https://localhost:{secure}",
        "UPSTREAM": f"127.0.0.1:{upstream}",
    }
    return Prepared(kind, folder, check, run, ports, environment)


@asynccontextmanager
async def tls_proxy(kind: str, folder: Path, certificate: Certificate, upstream: int) -> AsyncIterator[TlsProxy]:
    """A running proxy, as long as the block."""
    found = prepare(kind, folder, certificate, upstream)
    with (folder / "output.log").open("wb") as log:
        process = subprocess.Popen(tied_to_parent(found.run), stdout=log, stderr=log, env=found.environment)
    secure, plain = found.ports
    try:
        for port in found.ports:
            await until(partial(listens, process, port, folder / "output.log"))
        yield TlsProxy(kind, f"https://localhost:{secure}", f"http://localhost:{plain}", folder)
    finally:
        process.terminate()
        process.wait(20)


def program(name: str) -> str:
    """The path of an installed program."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    assert found, f"{name} is not installed: scripts/test-deploy installs it if run by root"
    return found


def replaced(source: str, target: Path, changes: Mapping[str, str], *, before: str = "") -> None:
    """Write a file of the repository with these texts replaced; each must be there, where no letter of a longer one follows."""
    text = (ROOT / source).read_text()
    for old, new in changes.items():
        parts = re.split(re.escape(old) + r"(?!\w)", text)
        assert len(parts) > 1, f"{source} has no {old!r} any more"
        text = new.join(parts)
    target.write_text(before + text)

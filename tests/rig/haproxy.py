"""A load balancer in front of web processes: Debian's HAProxy, with the settings of a real deployment.

`async with balancer(folder, urls) as url`. It checks /readyz of each process five times a second, sends no new connection
to one that is not ready, and keeps those that are open. Webhooks and viewers use the same address.
"""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from server.child import tied_to_parent
from tests.rig.redis import free_port
from tests.rig.server import until

CONFIG = """
global
    maxconn 8000
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout tunnel 75s
    option forwardfor
    option redispatch
    retries 2
frontend door
    bind 127.0.0.1:{port}
    default_backend webs
backend webs
    balance roundrobin
    option httpchk GET /readyz
    default-server check inter 200ms fall 1 rise 1
{servers}
"""


@asynccontextmanager
async def balancer(folder: Path, urls: Sequence[str]) -> AsyncIterator[str]:
    """A running HAProxy, as long as the block; answers its address. A process may start to listen at its url later."""
    program = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    assert program, "HAProxy is not installed: apt-get install haproxy"
    port = free_port()
    servers = "\n".join(f"    server web{at} {urlsplit(url).netloc}" for at, url in enumerate(urls))
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "haproxy.cfg"
    config.write_text(CONFIG.format(port=port, servers=servers))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(tied_to_parent([program, "-db", "-f", str(config)]), stdout=log, stderr=log)
    try:
        await until(lambda: listens(process, port, folder / "log"))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


async def listens(process: "subprocess.Popen[bytes]", port: int, log: Path) -> bool:
    """Whether the process takes connections at this port; fails with its log where it has ended."""
    assert process.poll() is None, log.read_text()
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True

import asyncio
import sys
from pathlib import Path

from tests.rig.asgi_server import asgi_server
from tests.rig.echo import Echo, app
from tests.rig.redis import free_port

LEFT_OUT = ("9.*", "12.*", "13.*")
"""Messages of megabytes, and compression: both are off by design."""


async def test_autobahn_suite_passes(tmp_path: Path) -> None:
    """The WebSocket protocol class, with a raised size limit, passes every core case of Autobahn's suite (RFC 6455)."""
    port = free_port()
    excluded = [word for case in LEFT_OUT for word in ("-x", case)]
    async with asgi_server(app, port, Echo):
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("kosoku"),
            *["-p", "2", *excluded, "-o", str(tmp_path), f"127.0.0.1:{port}"],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()

    assert output.decode().splitlines()[-1] == "247 cases passed"
    assert 0 == process.returncode

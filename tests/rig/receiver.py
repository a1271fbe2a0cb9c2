"""The reference receiver of docs/, or one that is made of it, on its own port: `async with serving(app()) as url`."""

import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.rig.asgi_server import asgi_server
from tests.rig.redis import free_port
from tests.rig.echo import Echo

FILE = Path(__file__).parent.parent.parent / "docs" / "receiver.py"
SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgcmVmZXJlbmNlIHJlY2VpdmVy"
EVENT = "G-2027"


def receiver() -> ModuleType:
    """The reference receiver as a module."""
    if "receiver" not in sys.modules:
        spec = importlib.util.spec_from_file_location("receiver", FILE)
        assert spec
        assert spec.loader
        sys.modules["receiver"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["receiver"])
    return sys.modules["receiver"]


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Serve it as long as the block; the address of its tickets."""
    port = free_port()
    async with asgi_server(app, port, Echo):
        yield f"http://127.0.0.1:{port}/wix/tickets"

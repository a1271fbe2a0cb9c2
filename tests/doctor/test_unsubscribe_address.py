from starlette.responses import PlainTextResponse

from server.doctor import unsubscribe_address
from server.keyring import KeyRing
from tests.rig.broken_proxy import broken_proxy
from tests.rig.redis import free_port
from tests.rig.server import StartServer

KEY, OTHER = "n" * 43, "o" * 43


async def test_address_that_is_right(start_server: StartServer) -> None:
    """An address that leads to our page, which reads the link, is right; the page is only opened."""
    server = await start_server(notify_keys=KEY)

    found = await unsubscribe_address.found(server.url, KeyRing([KEY]))

    assert "ok" == found.level


async def test_address_with_other_keys(start_server: StartServer) -> None:
    """Web processes with other keys than those of the mails cannot read the links, which is a fault."""
    server = await start_server(notify_keys=OTHER)

    found = await unsubscribe_address.found(server.url, KeyRing([KEY]))

    assert ("fault", True) == (found.level, "cannot read the links" in found.what)


async def test_address_that_leads_elsewhere(start_server: StartServer) -> None:
    """An address that a proxy does not pass on, that nothing answers at, or without keys in the web processes is a fault."""
    server = await start_server()
    gone = f"http://127.0.0.1:{free_port()}"
    async with broken_proxy(server.url, {"/u/": PlainTextResponse("welcome")}) as url:
        found = [await unsubscribe_address.found(one, KeyRing([KEY])) for one in (url, gone, server.url)]

    assert ["fault"] * 3 == [one.level for one in found]
    assert "is answered 200, and not by this server" in found[0].what
    assert "cannot be reached" in found[1].what
    assert "is answered 404" in found[2].what

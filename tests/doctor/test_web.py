import pytest

from server.doctor.web import NoAnswer, ask
from tests.rig.raw_server import HANG, answer, raw_server
from tests.rig.redis import free_port


async def test_answers_of_the_web() -> None:
    """An answer has its status, its headers and its body; a redirect is not followed."""
    async with raw_server(answer(301, b"moved", {"location": "https://elsewhere.example"})) as server:
        found = await ask(server.url)

    assert (301, "moved") == (found.status, found.body)
    assert "https://elsewhere.example" == found.headers["location"]


async def test_addresses_without_an_answer() -> None:
    """Where nothing answers, the reason is in words."""
    with pytest.raises(NoAnswer, match="it refuses connections"):
        await ask(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(NoAnswer, match=r"the name has no address|no name server"):
        await ask("http://nothing.invalid")
    with pytest.raises(NoAnswer, match="it is no address"):
        await ask("http://[::1")
    async with raw_server(HANG) as server:
        with pytest.raises(NoAnswer, match="no answer came in time"):
            await ask(server.url, timeout=0.1)


async def test_long_answers_of_the_web() -> None:
    """Of a long answer only the beginning is read."""
    async with raw_server(answer(200, b"x" * 1_000_000)) as server:
        assert 65_536 == len((await ask(server.url)).body)

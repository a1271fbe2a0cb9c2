import asyncio

from redis.asyncio import Redis

from tests.rig.counters_over_http import EVENT_STREAM, get, shown, stream
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.server import OTHER, SITE, TICKET, StartServer, until
from tests.rig.site_lookup import GatedSites

STRANGER = "5f0e4d3c-9999-4111-8111-00000000b009"

BAD: dict[str, tuple[int, str, str]] = {
    "": (400, "ticket", "name at least one ticket"),
    "ticket=nonsense": (400, "ticket", "ticket='nonsense' is not a GUID"),
    "ticket=%22%3Cscript%3E": (400, "ticket", "is not a GUID"),
    f"ticket={TICKET}&site=x": (400, "site", "site='x' is not a GUID"),
    "x" * 5000: (400, "query", "longer than 4096 bytes"),
    f"ticket={TICKET}&site={STRANGER}": (404, "site", f"site {STRANGER} is not known here"),
}


async def test_bad_request_names_the_parameter(start_server: StartServer) -> None:
    """A malformed request gets the name of the wrong parameter; the page may read it, and no cache keeps it."""
    running = await start_server()

    for path in ("/v1/counters", "/v1/counters/stream"):
        for query, (status, field, reason) in BAD.items():
            response = await running.http.get(f"{path}?{query}")

            assert (query, status, field) == (query, response.status_code, response.json()["error"]["field"])
            assert reason in response.json()["error"]["message"]
            assert ("no-store", "*", "nosniff") == (
                response.headers["cache-control"],
                response.headers["access-control-allow-origin"],
                response.headers["x-content-type-options"],
            )


async def test_request_finds_its_site_if_there_are_several(
    start_server: StartServer, reads: FakeReader, redis_url: str
) -> None:
    """With more than one site a request gets the counters of the site that has its tickets; a named site is taken as it is."""
    running = await start_server(wix_sites=f"{SITE},{STRANGER}")
    other = FakeReader(redis_url, STRANGER)
    await reads.read(definition(TICKET, 3))
    await other.read(definition(OTHER, 4))
    await other.aclose()

    assert {TICKET: ("low", 3)} == shown(await get(running, TICKET))
    assert {OTHER: ("low", 4), STRANGER: ("unknown", None)} == shown(await get(running, OTHER, STRANGER))
    assert {TICKET: ("unknown", None)} == shown(await get(running, TICKET, site=STRANGER))


async def test_site_that_cannot_be_found(start_server: StartServer, reads: FakeReader, redis_url: str) -> None:
    """Tickets of two sites are 400, tickets of none 404 with the time to come back: each in its own words, and counted no more."""
    running = await start_server(wix_sites=f"{SITE},{STRANGER}")
    other = FakeReader(redis_url, STRANGER)
    await reads.read(definition(TICKET, 3))
    await other.read(definition(OTHER, 4))
    await other.aclose()

    for path in ("/v1/counters", "/v1/counters/stream"):
        two = await running.http.get(f"{path}?ticket={TICKET}&ticket={OTHER}")
        none = await running.http.get(f"{path}?ticket={STRANGER}")

        assert (400, "ticket") == (two.status_code, two.json()["error"]["field"])
        assert "these tickets are of 2 sites" in two.json()["error"]["message"]
        assert (404, "ticket", "5") == (none.status_code, none.json()["error"]["field"], none.headers["retry-after"])
        assert "none of the 2 sites here has these tickets" in none.json()["error"]["message"]
    assert 0 == running.web.admission._count


async def test_client_that_leaves_while_its_site_is_looked_up(start_server: StartServer) -> None:
    """A client that leaves while its site is looked up is counted no more."""
    running = await start_server(wix_sites=f"{SITE},{STRANGER}")
    gate = GatedSites(running.web.site_lookup._answers)
    running.web.site_lookup._answers = gate
    leaving = asyncio.create_task(get(running, TICKET))
    await until(lambda: gate.asked)
    assert 1 == running.web.admission._count

    leaving.cancel()
    gate.open.set()

    await until(lambda: not running.web.admission._count)


async def test_refused_while_closing(start_server: StartServer, reads: FakeReader) -> None:
    """Law 11: A process that is closing refuses polls and streams, and says when to come back."""
    running = await start_server()
    await reads.read(definition(TICKET, 3))
    running.web.admission.open = False

    for response in (await get(running, TICKET), await get(running, TICKET, headers=EVENT_STREAM)):
        assert (503, "5", "no-store") == (
            response.status_code,
            response.headers["retry-after"],
            response.headers["cache-control"],
        )
        assert None is response.json()["error"]["field"]


async def test_listed_origins_in_cors_headers(start_server: StartServer, reads: FakeReader) -> None:
    """With a list, a listed origin is echoed, another one is 403, and caches are told that the answer varies by it."""
    running = await start_server(origins="https://shop.example,https://*.wixsite.com")
    await reads.read(definition(TICKET, 3))
    found: dict[str, set[tuple[int, str | None]]] = {}

    for origin in ("https://shop.example", "https://a.wixsite.com", "https://evil.example", "null"):
        for accept in ({}, EVENT_STREAM):
            async with running.http.stream(
                "GET", running.counters(TICKET), headers={"Origin": origin, **accept}
            ) as response:
                assert "Accept, Origin" == response.headers["vary"]
                found.setdefault(origin, set()).add(
                    (response.status_code, response.headers.get("access-control-allow-origin"))
                )

    assert {
        "https://shop.example": {(200, "https://shop.example")},
        "https://a.wixsite.com": {(200, "https://a.wixsite.com")},
        "https://evil.example": {(403, None)},
        "null": {(403, None)},
    } == found


async def test_client_without_origin(start_server: StartServer, reads: FakeReader) -> None:
    """A client that is no browser sends no origin and is admitted; the answer names no origin."""
    running = await start_server(origins="https://shop.example")
    await reads.read(definition(TICKET, 3))

    response = await get(running, TICKET)

    assert {TICKET: ("low", 3)} == shown(response)
    assert "access-control-allow-origin" not in response.headers


async def test_cors_preflight(start_server: StartServer) -> None:
    """A preflight request is told what may be sent, whatever its query; one of another origin is not."""
    running = await start_server(origins="https://shop.example")

    for path in ("/v1/counters", "/v1/counters/stream"):
        ours, foreign = [
            await running.http.options(path, headers={"Origin": origin, "Access-Control-Request-Method": "GET"})
            for origin in ("https://shop.example", "https://evil.example")
        ]

        assert (204, b"") == (ours.status_code, ours.content)
        assert ("https://shop.example", "GET", "86400") == (
            ours.headers["access-control-allow-origin"],
            ours.headers["access-control-allow-methods"],
            ours.headers["access-control-max-age"],
        )
        assert {"if-none-match", "cache-control", "last-event-id", "x-requested-with", "content-type"} == {
            name.strip().lower() for name in ours.headers["access-control-allow-headers"].split(",")
        }
        assert "access-control-allow-origin" not in foreign.headers


async def test_forwarded_addresses_have_their_own_limits(start_server: StartServer) -> None:
    """Behind a trusted proxy each address has its own limit, even if the header comes in parts."""
    running = await start_server(max_connections_per_address=1, trusted_proxies="127.0.0.0/8,10.0.0.0/8")
    path = running.counters(TICKET).replace("?", "/stream?")
    found = []

    async with stream(running, path, **{"X-Forwarded-For": "198.51.100.1"}) as first:
        await first.counter()
        for hops in (["198.51.100.2"], ["198.51.100.1"], ["198.51.100.2", "198.51.100.1, 10.0.0.1"]):
            async with running.http.stream("GET", path, headers=[("X-Forwarded-For", hop) for hop in hops]) as response:
                found.append(response.status_code)

    assert [200, 503, 503] == found


async def test_refused_requests_leave_no_trace(start_server: StartServer, redis_url: str) -> None:
    """Law 9: A request for an unknown site, or a malformed one, writes no key in Redis and opens no topic."""
    running = await start_server()
    redis = Redis.from_url(redis_url, decode_responses=True)
    before = set(await redis.keys())

    for query in BAD:
        for path in ("/v1/counters", "/v1/counters/stream"):
            await running.http.get(f"{path}?{query}")

    assert before == set(await redis.keys())
    assert {} == running.web.hub.topics
    await redis.aclose()

import asyncio
import gzip
import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from server.errors import NotThere, TicketCounterError, WixForbidden, WixRefused, WixUnavailable
from server.model import SiteId
from server.wix import cures
from server.wix.client import Wix
from server.wix.credentials import ApiKey, App
from server.wix.no_answer import Cause
from tests.rig.fake_wix import REQUEST_ID, FakeWix, Reply
from tests.rig.redis import free_port
from tests.rig.server import SITE, TICKET, until
from tests.rig.wix_client import APP, ELSEWHERE, KEY, QUERY, SAMPLES, SITE_ID, TICKETS, Client, counted, listed, pay

TOKEN = "/oauth2/token"
SHORT = httpx.Timeout(connect=1, read=0.3, write=1, pool=0.1)


class FakeBudget:
    """Pays for a second call, or refuses to; and counts."""

    def __init__(self, *, full: bool = True) -> None:
        self.full = full
        self.paid = 0

    async def pay(self) -> bool:
        self.paid += 1
        return self.full


async def fault(wix: Wix, site: SiteId = SITE_ID) -> TicketCounterError:
    """The error that a query raises."""
    with pytest.raises(TicketCounterError) as caught:
        await wix.query(site, TICKETS, pay)
    return caught.value


# -- requests --


async def test_token_request(wix: FakeWix, client: Client) -> None:
    """A token is requested with the app's id, its secret and the instance, as JSON and without authorization."""
    await client().query(SITE_ID, TICKETS, pay)

    [asked] = wix.requests_to(TOKEN)
    assert ("POST", "/oauth2/token", ()) == (asked.method, asked.path, asked.query)
    assert "application/json" == asked.headers["content-type"]
    assert "authorization" not in asked.headers
    assert {
        "grant_type": "client_credentials",
        "client_id": APP.id,
        "client_secret": "app-secret",
        "instance_id": SITE,
    } == asked.body


async def test_app_authorization_header(wix: FakeWix, client: Client) -> None:
    """An app sends its token bare, without `Bearer`, and names no site."""
    await client().query(SITE_ID, TICKETS, pay)

    [asked] = wix.requests_to(QUERY)
    assert "token-1" == asked.headers["authorization"]
    assert "wix-site-id" not in asked.headers


async def test_api_key_authorization_header(wix: FakeWix, client: Client) -> None:
    """An API key is sent bare with the site's id, or the instance's where no other is known; no token is fetched."""
    found = client(KEY)

    await found.query(SITE_ID, TICKETS, pay)
    await found.query(ELSEWHERE, TICKETS, pay)

    assert [("IST.key", "7c9e6679-2222-4222-8222-00000000c001"), ("IST.key", ELSEWHERE)] == [
        (asked.headers["authorization"], asked.headers["wix-site-id"]) for asked in wix.requests
    ]


async def test_address_with_a_trailing_slash(wix: FakeWix, client: Client) -> None:
    """An address that ends in a slash is the same address."""
    await client(url=f"{wix.url}/").query(SITE_ID, TICKETS, pay)

    assert [TOKEN, f"/events/v3{QUERY}"] == [asked.path for asked in wix.requests]


async def test_redirects_are_not_followed(wix: FakeWix, client: Client) -> None:
    """Redirects are not followed: a token goes to Wix's address and to no other."""
    wix.reply(QUERY, Reply(302, headers={"location": f"{wix.url}/elsewhere"}))

    error = await fault(client())

    assert 302 == getattr(error, "status", None)
    assert [] == wix.requests_to("/elsewhere")


# -- answers --


@pytest.mark.parametrize("status", [201, 204, 302, 401, 403, 409, 428, 429, 500, 501, 503, 504])
async def test_unexpected_status_raises_unavailable(wix: FakeWix, client: Client, status: int) -> None:
    """Every status but 200, 400 and 404 means that Wix is unavailable, and is reported with Wix's request id."""
    wix.reply(QUERY, Reply(status))

    error = await fault(client())

    assert isinstance(error, WixUnavailable)
    assert (status, REQUEST_ID, None) == (error.status, error.request_id, error.retry_after)
    assert f"Wix answered {status} to query of site {SITE} (request {REQUEST_ID})" == str(error)


async def test_missing_permission(wix: FakeWix, client: Client) -> None:
    """A 403 means that the app lacks a permission, and is reported with Wix's request id."""
    wix.reply(QUERY, Reply(403))

    error = await fault(client())

    assert isinstance(error, WixForbidden)
    assert (403, REQUEST_ID) == (error.status, error.request_id)


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_failed_call_is_not_retried(wix: FakeWix, client: Client, status: int) -> None:
    """Law 5: No failed call is repeated here: that is for the budget to decide."""
    wix.reply(QUERY, Reply(status))
    found = client()

    await fault(found)

    assert 1 == len(wix.requests_to(QUERY))


@pytest.mark.parametrize(
    ("status", "text", "seconds"),
    [
        (429, "7", 7.0),
        (503, "120", 120.0),
        (500, " 0 ", 0.0),
        (429, "99999999999999999999", 999_999_999.0),
        (429, "Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        (429, "-5", None),
        (429, "1.5", None),
        (429, "\xb2", None),
        (429, "soon", None),
        (429, "", None),
        (429, "Wed, 99 Oct 2015 07:28:00 GMT", None),
        (429, "Wed, 21 Oct 2015 07:28:00 +99999999999999999999", None),
    ],
)
async def test_retry_after_in_seconds(
    wix: FakeWix, client: Client, status: int, text: str, seconds: float | None
) -> None:
    """Retry-After is returned as seconds, or as none if it is neither a number nor a date."""
    wix.reply(QUERY, Reply(status, headers={"retry-after": text}))

    error = await fault(client())

    assert isinstance(error, WixUnavailable)
    assert (status, seconds) == (error.status, error.retry_after)


@pytest.mark.parametrize("usegmt", [True, False])
async def test_retry_after_as_a_date(wix: FakeWix, client: Client, usegmt: bool) -> None:
    """A Retry-After that is a date is returned as the seconds from now until then."""
    moment = datetime.now(UTC) + timedelta(seconds=60)
    wix.reply(QUERY, Reply(429, headers={"retry-after": format_datetime(moment, usegmt=usegmt)}))

    error = await fault(client())

    assert isinstance(error, WixUnavailable)
    assert error.retry_after is not None
    assert 50 < error.retry_after <= 60


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"message": "INVALID_ARGUMENT", "details": {}}, "INVALID_ARGUMENT"),
        ({"message": "x" * 1000}, "x" * 200),
        ({"message": ["a", "list"]}, r"\['a', 'list'\]"),
        ({}, "no message"),
        ([], "no message"),
        (b"nonsense", "no message"),
        (b"[" * 100_000, "no message"),
    ],
)
async def test_refused_request_reports_the_reason(wix: FakeWix, client: Client, content: Any, reason: str) -> None:
    """A 400 means that the request is wrong; Wix's reason is reported, if it gives one, and shortened."""
    wix.reply(QUERY, Reply(400, content))

    with pytest.raises(WixRefused, match=f": {reason}$") as caught:
        await client().query(SITE_ID, TICKETS, pay)

    assert (400, REQUEST_ID) == (caught.value.status, caught.value.request_id)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"nonsense \(JSONDecodeError\) to query of "),
        (b"<html>", r"nonsense \(JSONDecodeError\) to query of "),
        (b"\xff\xfe\xfd", r"nonsense \(UnicodeDecodeError\) to query of "),
        (b"[" * 100_000, r"nonsense \(RecursionError\) to query of "),
        (b"1" * 5000, r"nonsense \(ValueError\) to query of "),
        ([], "no object to query"),
        ("text", "no object to query"),
        (None, "no object to query"),
    ],
)
async def test_meaningless_answer_counts_as_unavailable(
    wix: FakeWix, client: Client, content: Any, reason: str
) -> None:
    """A 200 with a meaningless body proves nothing: it is as if Wix had not answered."""
    wix.reply(QUERY, Reply(content=content))

    error = await fault(client())

    assert isinstance(error, WixUnavailable)
    assert 200 == error.status
    with pytest.raises(WixUnavailable, match=reason):
        raise error


# -- no answer --


async def test_hanging_call_times_out(wix: FakeWix, client: Client) -> None:
    """A call that Wix does not answer in time ends by its own time-out, and the next one is made as usual."""
    found = client(timeout=SHORT)
    await found.query(SITE_ID, TICKETS, pay)
    wix.hold()

    error = await fault(found)
    wix.resume()
    after = await found.query(SITE_ID, TICKETS, pay)

    assert (0, f"Wix gave no answer to query of site {SITE}: {wix.host}, no answer came in time") == (
        getattr(error, "status", None),
        str(error),
    )
    assert () == after.definitions


async def test_dropped_connection_is_replaced(wix: FakeWix, client: Client) -> None:
    """A connection that drops in the middle of an answer is no answer, and the next call opens a new one."""
    wix.reply(QUERY, Reply(content={"ticketDefinitions": []}, cut=True), listed(SAMPLES["fixed"]))
    found = client()

    error = await fault(found)
    after = await found.query(SITE_ID, TICKETS, pay)

    assert (0, f"Wix gave no answer to query of site {SITE}: {wix.host}, {Cause.CLOSED}") == (
        getattr(error, "status", None),
        str(error),
    )
    assert [3] == [one.unsold for one in after.definitions]


@pytest.mark.parametrize("path", [QUERY, TOKEN])
async def test_dripping_answer_ends_at_the_deadline(wix: FakeWix, client: Client, path: str) -> None:
    """An answer that comes byte by byte ends with the call's deadline, though each read is in time; the next succeeds."""
    found = client(within=0.3)
    wix.reply(path, Reply(content={"ticketDefinitions": []}, drip=0.05))
    kind = {QUERY: "query", TOKEN: "token"}[path]
    before = counted(kind, "ReadTimeout")
    began = time.monotonic()

    error = await fault(found)
    seconds = time.monotonic() - began
    wix.reply(path)
    after = await found.query(SITE_ID, TICKETS, pay)

    whole = "no answer came in time (in 0.3 s for the whole call)"
    assert f"Wix gave no answer to {kind} of site {SITE}: {wix.host}, {whole}" == str(error)
    assert (WixUnavailable, 0) == (type(error), getattr(error, "status", None))
    assert 0.3 <= seconds < 1
    assert before + 1 == counted(kind, "ReadTimeout")
    assert () == after.definitions


async def test_slow_answer_within_the_deadline(wix: FakeWix, client: Client) -> None:
    """An answer that comes slowly, but within the deadline, is accepted."""
    wix.reply(QUERY, Reply(content={"ticketDefinitions": []}, drip=0.001))

    assert () == (await client().query(SITE_ID, TICKETS, pay)).definitions


@pytest.mark.parametrize("packed", [False, True])
async def test_too_long_answer_is_not_read_to_its_end(wix: FakeWix, client: Client, packed: bool) -> None:
    """An answer that is too long when decompressed is not read to its end, and its connection is not used again."""
    body = b" " * 100_000
    headers = {"content-encoding": "gzip"} if packed else {}
    wix.reply(QUERY, Reply(content=gzip.compress(body) if packed else body, headers=headers), listed(SAMPLES["fixed"]))
    found = client(largest=50_000)
    before = counted("query", "TooLong")

    error = await fault(found)
    after = await found.query(SITE_ID, TICKETS, pay)

    assert (WixUnavailable, 0) == (type(error), getattr(error, "status", None))
    assert f"Wix gave no answer to query of site {SITE}: {wix.host}, {Cause.TOO_LONG}" == str(error)
    assert before + 1 == counted("query", "TooLong")
    assert [3] == [one.unsold for one in after.definitions]


async def test_compressed_answer_is_decompressed(wix: FakeWix, client: Client) -> None:
    """A compressed answer is decompressed."""
    body = json.dumps({"ticketDefinitions": [SAMPLES["fixed"]]}).encode()
    wix.reply(QUERY, Reply(content=gzip.compress(body), headers={"content-encoding": "gzip"}))

    assert [3] == [one.unsold for one in (await client().query(SITE_ID, TICKETS, pay)).definitions]


async def test_refused_connection_is_unavailable(client: Client) -> None:
    """An address on which no server listens counts as no answer."""
    port = free_port()
    error = await fault(client(KEY, url=f"http://127.0.0.1:{port}"))

    assert isinstance(error, WixUnavailable)
    assert str(error).endswith(f": 127.0.0.1:{port}, it refuses connections")
    assert error.hint.startswith("nothing listens there: check WIX_API_URL")


async def test_exhausted_pool_is_replaced(wix: FakeWix, client: Client) -> None:
    """Calls that find no free connection in time fail, and later ones use a new pool, though the old one hangs."""
    found = client(KEY, timeout=httpx.Timeout(5, pool=0.1), limits=httpx.Limits(max_connections=2))
    wix.hold()
    calls = [asyncio.create_task(found.query(SITE_ID, TICKETS, pay)) for _ in range(20)]
    await until(lambda: sum(call.done() for call in calls) >= 18)
    failed = [call.exception() for call in calls if call.done()]
    hanging = len(calls) - len(failed)

    later = [asyncio.create_task(found.query(SITE_ID, TICKETS, pay)) for _ in range(2)]
    await until(lambda: len(wix.requests) == 4)
    wix.resume()

    assert 2 == hanging
    assert {f"Wix gave no answer to query of site {SITE}: {wix.host}, {Cause.BUSY}"} == {str(error) for error in failed}
    assert all(answer.definitions == () for answer in await asyncio.gather(*later))
    assert [()] * 2 == [call.result().definitions for call in calls if call not in later and not call.exception()]


async def test_cancelled_calls_break_the_pool_only_once(wix: FakeWix, client: Client) -> None:
    """If cancelled calls break a pool for good, that costs one call, not all."""
    found = client(KEY, timeout=httpx.Timeout(5, pool=0.1), limits=httpx.Limits(max_connections=10))

    async def answers(within: float = 5) -> bool:
        try:
            async with asyncio.timeout(within):
                await found.query(SITE_ID, TICKETS, pay)
        except (TimeoutError, WixUnavailable):
            return False
        return True

    for _ in range(20):
        wix.hold()
        await asyncio.gather(*(answers(within=0.02) for _ in range(20)))
        wix.resume()

    tried = [await answers() for _ in range(4)]

    assert [True] * 3 == tried[1:]


# -- tokens --


async def test_one_token_for_concurrent_calls(wix: FakeWix, client: Client) -> None:
    """However many calls begin at once, their site's token is fetched once."""
    found = client()

    await asyncio.gather(*(found.query(SITE_ID, TICKETS, pay) for _ in range(20)))

    assert 1 == len(wix.requests_to(TOKEN))
    assert ["token-1"] * 20 == [asked.headers["authorization"] for asked in wix.requests_to(QUERY)]


async def test_each_site_has_its_own_token(wix: FakeWix, client: Client) -> None:
    """Each site has its own token, requested for its instance."""
    found = client()

    for site in (SITE_ID, ELSEWHERE, SITE_ID):
        await found.query(site, TICKETS, pay)

    assert [SITE, ELSEWHERE] == [asked.body["instance_id"] for asked in wix.requests_to(TOKEN)]
    assert ["token-1", "token-2", "token-1"] == [asked.headers["authorization"] for asked in wix.requests_to(QUERY)]


async def test_token_is_renewed_early(wix: FakeWix, client: Client) -> None:
    """A token is renewed at four fifths of its life, and not before."""
    now = 1000.0
    found = client(clock=lambda: now)
    used = []
    for later in (0, 11_519, 1, 11_519, 1):
        now += later
        await found.query(SITE_ID, TICKETS, pay)
        used.append(wix.requests[-1].headers["authorization"])

    assert ["token-1", "token-1", "token-2", "token-2", "token-3"] == used


async def test_revoked_token_is_replaced(wix: FakeWix, client: Client) -> None:
    """After a 401 one new token is fetched and the call is repeated once, paid for."""
    wix.reply(QUERY, Reply(401), listed(SAMPLES["fixed"]))
    budget = FakeBudget()

    found = await client().query(SITE_ID, TICKETS, budget.pay)

    assert [3] == [one.unsold for one in found.definitions]
    assert 1 == budget.paid
    assert ["token-1", "token-2"] == [asked.headers["authorization"] for asked in wix.requests_to(QUERY)]


async def test_second_401_is_final(wix: FakeWix, client: Client) -> None:
    """A second 401, with a new token, is final, and means a missing permission: there is never a third call."""
    wix.reply(QUERY, Reply(401))
    budget = FakeBudget()

    with pytest.raises(WixForbidden) as caught:
        await client().query(SITE_ID, TICKETS, budget.pay)

    assert (401, REQUEST_ID) == (caught.value.status, caught.value.request_id)
    assert (1, 2, 2) == (budget.paid, len(wix.requests_to(QUERY)), len(wix.requests_to(TOKEN)))


async def test_unpaid_retry_is_not_made(wix: FakeWix, client: Client) -> None:
    """Law 5: A second call that the budget does not pay for is not made: no permission is missing, the token is new next time."""
    wix.reply(QUERY, Reply(401), listed())
    budget = FakeBudget(full=False)
    found = client()

    with pytest.raises(WixUnavailable) as caught:
        await found.query(SITE_ID, TICKETS, budget.pay)

    assert WixUnavailable is type(caught.value)
    assert (401, 1, 1) == (caught.value.status, budget.paid, len(wix.requests_to(QUERY)))
    await found.query(SITE_ID, TICKETS, budget.pay)
    assert ["token-1", "token-2"] == [asked.headers["authorization"] for asked in wix.requests_to(QUERY)]


async def test_concurrent_calls_share_a_new_token(wix: FakeWix, client: Client) -> None:
    """Calls that find at the same time that a token is revoked share one new token."""
    found = client()
    await found.query(SITE_ID, TICKETS, pay)
    wix.reply(QUERY, *[Reply(401)] * 10, listed())
    wix.hold()
    calls = [asyncio.create_task(found.query(SITE_ID, TICKETS, pay)) for _ in range(10)]
    await until(lambda: len(wix.requests_to(QUERY)) == 11)
    wix.resume()

    await asyncio.gather(*calls)

    assert 2 == len(wix.requests_to(TOKEN))


async def test_late_401_does_not_discard_the_new_token(wix: FakeWix, client: Client) -> None:
    """A call that gets a late 401 for a token that has been replaced uses the new one, and does not discard it."""
    late = asyncio.Event()
    found = client()
    await found.query(SITE_ID, TICKETS, pay)
    wix.reply(QUERY, Reply(401, after=late), Reply(401), listed())
    slow = asyncio.create_task(found.query(SITE_ID, TICKETS, pay))
    await until(lambda: len(wix.requests_to(QUERY)) == 2)
    await found.query(SITE_ID, TICKETS, pay)

    late.set()
    await slow

    assert ["token-1", "token-1", "token-1", "token-2", "token-2"] == [
        asked.headers["authorization"] for asked in wix.requests_to(QUERY)
    ]
    assert 2 == len(wix.requests_to(TOKEN))


async def test_api_key_is_not_renewed(wix: FakeWix, client: Client) -> None:
    """A 401 to an API key is final, and means a missing permission: there is no other key."""
    wix.reply(QUERY, Reply(401))
    budget = FakeBudget()

    with pytest.raises(WixForbidden):
        await client(KEY).query(SITE_ID, TICKETS, budget.pay)

    assert (0, 1) == (budget.paid, len(wix.requests))


@pytest.mark.parametrize(
    ("status", "content", "code", "cure"),
    [
        (
            401,
            {"error": "invalid_client", "error_description": "app-secret is wrong"},
            "invalid_client",
            "WIX_APP_SECRET",
        ),
        (400, {"error": "invalid_client"}, "invalid_client", "WIX_APP_SECRET or WIX_APP_ID is wrong"),
        (401, {"message": "", "details": {}}, "", "WIX_APP_SECRET or WIX_APP_ID is wrong"),
        (400, {"error": "invalid_grant"}, "invalid_grant", "the app is not installed on this site"),
        (400, {"error": "unauthorized_client"}, "unauthorized_client", "are of the same app"),
        (403, {"error": "app-secret"}, "", "are of the same app"),
        (404, [], "", "this address has no tokens"),
        (302, b"<html>", "", "this address has no tokens"),
    ],
)
async def test_wrong_credentials_report_what_to_check(
    wix: FakeWix, client: Client, *, status: int, content: Any, code: str, cure: str
) -> None:
    """Where Wix gives no token the error says what to check, and repeats nothing that was sent; no ticket is called absent."""
    wix.reply(TOKEN, Reply(status, content))

    error = await fault(client())

    assert isinstance(error, WixUnavailable)
    assert (status, REQUEST_ID) == (error.status, error.request_id)
    assert f"Wix gave no token for site {SITE}: it answered {status} {code}".rstrip() == str(error)
    assert cure in error.hint
    assert "app-secret" not in f"{error} {error.hint}"
    assert [] == wix.requests_to(QUERY)


@pytest.mark.parametrize(
    ("status", "credentials", "cure"),
    [
        (401, APP, "the app lacks the permission Manage Ticket Definitions"),
        (403, APP, "the app lacks the permission Manage Ticket Definitions"),
        (401, KEY, "WIX_API_KEY is wrong"),
        (403, KEY, "the API key lacks the permission Manage Ticket Definitions"),
        (404, APP, "check WIX_API_URL"),
        (302, APP, "check WIX_API_URL"),
        (200, APP, "check WIX_API_URL"),
        (407, APP, "write them into HTTPS_PROXY"),
        (400, APP, "update this server"),
        (429, APP, "another program or deployment uses the same app"),
        (503, APP, "the fault is Wix's"),
    ],
)
async def test_each_status_names_its_cure(
    wix: FakeWix, client: Client, status: int, credentials: App | ApiKey, cure: str
) -> None:
    """Whatever Wix answers in place of what was asked, the error has the cure."""
    wix.reply(QUERY, Reply(status, b"<html>"))

    error = await fault(client(credentials))

    assert cure in cures.hint(error)


async def test_revoked_token_without_budget_asks_nobody_to_act(wix: FakeWix, client: Client) -> None:
    """A token that Wix refuses is no missing permission as long as no new one was tried."""
    wix.reply(QUERY, Reply(401))

    with pytest.raises(WixUnavailable) as caught:
        await client().query(SITE_ID, TICKETS, FakeBudget(full=False).pay)

    assert cures.WAIT == caught.value.hint


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Reply(401), 401),
        (Reply(403), 403),
        (Reply(429, headers={"retry-after": "9"}), 429),
        (Reply(500), 500),
        (Reply(content=b"nonsense"), 200),
        (Reply(content=[]), 200),
        (Reply(content={}), 0),
        (Reply(content={"access_token": "t"}), 0),
        (Reply(content={"access_token": "t", "expires_in": "14400"}), 0),
        (Reply(content={"access_token": None, "expires_in": 14400}), 0),
        (Reply(content={"access_token": "t\xf6ken", "expires_in": 14400}), 0),
        (Reply(content={"access_token": "t\nx: y", "expires_in": 14400}), 0),
        (Reply(cut=True), 0),
    ],
)
async def test_no_call_without_a_token(wix: FakeWix, client: Client, answer: Reply, status: int) -> None:
    """Without a token there is no call and no missing permission, and the next call requests one again."""
    wix.reply(TOKEN, answer)
    found = client()

    error = await fault(found)
    wix.reply(TOKEN)
    await found.query(SITE_ID, TICKETS, pay)

    assert WixUnavailable is type(error)
    assert (status, 9.0 if status == 429 else None) == (error.status, error.retry_after)
    assert 1 == len(wix.requests_to(QUERY))


# -- metrics --


async def test_calls_are_counted(wix: FakeWix, client: Client) -> None:
    """Every call is counted by its kind and by its status, or by the error that replaced one."""
    kinds = [
        ("token", "200"),
        ("query", "200"),
        ("query", "429"),
        ("list", "200"),
        ("get", "404"),
        ("get", "ReadTimeout"),
    ]
    before = [counted(*one) for one in kinds]
    wix.reply(QUERY, listed(), Reply(429), listed())
    wix.reply(TICKET, Reply(404))
    found = client(timeout=SHORT)

    await found.query(SITE_ID, TICKETS, pay)
    await fault(found)
    await found.page(SITE_ID, None, pay)
    for hangs in (False, True):
        if hangs:
            wix.hold()
        with pytest.raises((NotThere, WixUnavailable)):
            await found.get(SITE_ID, TICKETS[0], pay)

    assert [count + 1 for count in before] == [counted(*one) for one in kinds]

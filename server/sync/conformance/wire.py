"""Checks of docs/http-target.md itself: signatures, idempotency keys, statuses, the JSON of pages and errors."""

import json
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from server.model import TicketId
from server.sync.conformance.bench import Bench, keys
from server.sync.conformance.check import check, checks
from server.sync.conformance.expectation import expect
from server.sync.conformance.http_bench import HttpBench
from server.sync.conformance.signed import OTHER_SECRET, Signing
from server.sync.targets.calls import Answer
from server.sync.targets.http_json import TICKET

TOO_OLD = 600.0
"""Seconds after which no signature may be accepted: five minutes, and some for clocks that differ."""

SOON = 5.0
"""Seconds: half of what we wait for an answer."""


@check
async def unsigned(bench: Bench) -> None:
    """A request without a signature is 401, and nothing is written."""
    await _refused(bench, "without a signature", Signing(secrets=()))


@check
async def signed_by_another(bench: Bench) -> None:
    """A request that was signed with another secret is 401, and nothing is written."""
    await _refused(bench, "signed with another secret", Signing(secrets=(OTHER_SECRET,)))


@check
async def signed_long_ago(bench: Bench) -> None:
    """A request that was signed ten minutes ago, or is from ten minutes ahead, is 401, and nothing is written."""
    await _refused(bench, "signed ten minutes ago", Signing(age=TOO_OLD))
    await _refused(bench, "signed ten minutes ahead", Signing(age=-TOO_OLD))


@check
async def signed_for_another_method(bench: Bench) -> None:
    """A request that was signed for another method is 401, and nothing is written."""
    await _refused(bench, "signed for another method", Signing(method="PATCH"))


@check
async def signed_for_another_address(bench: Bench) -> None:
    """A request that was signed for another path or query is 401, and nothing is written."""
    await _refused(bench, "signed for another address", Signing(target="/another/address?event=other"))


@check
async def signed_with_another_body(bench: Bench) -> None:
    """A request whose body is not the one that was signed is 401, and nothing is written."""
    await _refused(bench, "signed with another body", Signing(body=b'{"another": "body"}'), reads=False)


@check
async def two_signatures(bench: Bench) -> None:
    """Of several signatures one that is right is enough, so that a secret can be changed."""
    http = _http(bench)
    signing = Signing(secrets=(OTHER_SECRET, *http.requests_of.secrets))
    answer = await http.requests_of.get({"event": bench.event}, signing)
    expect(answer.status == 200, "sent GET with a wrong and a right signature", "200", answer.status)


@check
async def same_key_again(bench: Bench) -> None:
    """The same request with the same key makes one record, and is answered as the first time."""
    http, ticket = _http(bench), await bench.ticket()
    body, signing = await http.post(ticket), Signing(id=f"msg_{uuid4().hex}")
    first = await http.requests_of.send("POST", "", body, signing)
    second = await http.requests_of.send("POST", "", body, signing)
    done = "sent one POST twice with one idempotency key"
    expect(200 <= first.status < 300, done, "201 to the first", _answer(first))
    expect(second.status == first.status, done, f"{first.status} to the second as well", _answer(second))
    await bench.one(ticket, done)


@check
async def same_key_with_another_body(bench: Bench) -> None:
    """Another request with a key that was used is 422, and does nothing."""
    http, ticket, other = _http(bench), await bench.ticket(), await bench.ticket()
    signing = Signing(id=f"msg_{uuid4().hex}")
    await http.requests_of.send("POST", "", await http.post(ticket), signing)
    answer = await http.requests_of.send("POST", "", await http.post(other), signing)
    done = "sent another POST with an idempotency key that was used"
    expect(answer.status == 422, done, "422", _answer(answer))
    await _nothing_of(bench, other, done)


@check
async def old_key_after_a_change(bench: Bench) -> None:
    """A PUT that comes again late, with its old key, does not undo a later one."""
    http, (ticket, key) = _http(bench), await _record(bench)
    old = Signing(id=f"msg_{uuid4().hex}")
    first = await http.requests_of.send("PUT", f"/{key}", {TICKET: ticket, "name": "Old name"}, old)
    expect(200 <= first.status < 300, "sent PUT with a name", "200 or 204", _answer(first))
    await http.requests_of.send("PUT", f"/{key}", {TICKET: ticket, "name": "New name"})
    await http.requests_of.send("PUT", f"/{key}", {TICKET: ticket, "name": "Old name"}, old)
    record = await bench.one(ticket, "sent an old PUT again with its key")
    expect(record.name == "New name", "sent an old PUT again with its key", "the newer name", repr(record.name))


@check
async def key_that_is_not_signed(bench: Bench) -> None:
    """An idempotency key that is not the signed webhook-id is refused, and nothing is written."""
    http, ticket = _http(bench), await bench.ticket()
    answer = await http.requests_of.send("POST", "", await http.post(ticket), Signing(key=f"msg_{uuid4().hex}"))
    done = "sent POST with an idempotency key that is not the webhook-id"
    expect(400 <= answer.status < 500, done, "400", _answer(answer))
    await _nothing_of(bench, ticket, done)


@check
async def second_post_of_a_ticket(bench: Bench) -> None:
    """A POST of a ticket that has a record is 409, also with another key and another body."""
    http, (ticket, _) = _http(bench), await _record(bench)
    answer = await http.requests_of.send("POST", "", await http.post(ticket, name="Another name"))
    done = "sent a second POST for one ticket, with another idempotency key"
    await bench.one(ticket, done)
    expect(answer.status == 409, done, "409", _answer(answer))


@check
async def put_of_some_members(bench: Bench) -> None:
    """PUT changes the members that are sent, and leaves the others and the id as they are."""
    http, (ticket, key) = _http(bench), await _record(bench)
    before = await bench.one(ticket, "created a record")
    answer = await http.requests_of.send("PUT", f"/{key}", {"name": "Only the name"})
    done = "sent PUT with a name alone"
    expect(200 <= answer.status < 300, done, "200 or 204", _answer(answer))
    after = await bench.one(ticket, done)
    expect(after.name == "Only the name", done, "the new name", repr(after.name))
    for name, value in before.fields.items():
        now = after.fields.get(name)
        expect(name == "name" or value == now, done, f"{name} as before, {value!r}", repr(now))


@check
async def put_of_another_id(bench: Bench) -> None:
    """A PUT with another Wix id than the record bears is 409, and the record keeps its own."""
    http, (ticket, key) = _http(bench), await _record(bench)
    other = await bench.ticket()
    answer = await http.requests_of.send("PUT", f"/{key}", {TICKET: other, "event": bench.event})
    done = "sent PUT with the id of another ticket"
    expect(answer.status == 409, done, "409", _answer(answer))
    await bench.one(ticket, done)


@check
async def unknown_record(bench: Bench) -> None:
    """PUT and DELETE of a record that is not there are 404 or 410."""
    http = _http(bench)
    for method, body in (("PUT", {TICKET: await bench.ticket(), "event": bench.event}), ("DELETE", None)):
        answer = await http.requests_of.send(method, "/999999999", body)
        expect(
            answer.status in {404, 410}, f"sent {method} of a record that is not there", "404 or 410", _answer(answer)
        )


@check
async def delete_twice(bench: Bench) -> None:
    """DELETE of a record that is off sale already is 200, 204, 404 or 410."""
    http, (_, key) = _http(bench), await _record(bench)
    for done in ("sent DELETE", "sent DELETE twice"):
        answer = await http.requests_of.send("DELETE", f"/{key}")
        expect(answer.status in {200, 204, 404, 410}, done, "200, 204, 404 or 410", _answer(answer))


@check
async def unknown_event(bench: Bench) -> None:
    """GET and POST of an event that is not there are 404, and not an empty list."""
    http, ticket = _http(bench), await bench.ticket()
    answer = await http.requests_of.get({"event": "conformance-no-such-event"})
    expect(answer.status == 404, "sent GET of an event that is not there", "404", _answer(answer))
    answer = await http.requests_of.send("POST", "", await http.post(ticket, event="conformance-no-such-event"))
    done = "sent POST to an event that is not there"
    expect(400 <= answer.status < 500 and answer.status != 401, done, "404 or 422", _answer(answer))
    await _nothing_of(bench, ticket, done)


@check
async def bodies_that_are_none(bench: Bench) -> None:
    """A body that is no JSON, no object, or has no Wix id is 400 or 422, and nothing is written."""
    http, ticket = _http(bench), await bench.ticket()
    sent = await http.post(ticket)
    bodies: Mapping[str, Any] = {
        "half a JSON": b'{"name": ',
        "a list": [sent],
        "no id": {name: value for name, value in sent.items() if name != TICKET},
        "options that are no list": {**sent, "options": "none"},
    }
    for what, body in bodies.items():
        answer = await http.requests_of.send("POST", "", body)
        expect(answer.status in {400, 422}, f"sent POST with {what}", "400 or 422", _answer(answer))
    await _nothing_of(bench, ticket, "sent bodies that are none")


@check
async def words_of_errors(bench: Bench) -> None:
    """What is refused is answered with {"detail": "why"}, which people are shown."""
    answer = await _http(bench).requests_of.send("POST", "", b"{")
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = None
    said = isinstance(body, dict) and bool(body.get("detail"))
    expect(said, "sent POST with half a JSON", 'JSON with "detail"', _answer(answer))


@check
async def page_of_one_ticket(bench: Bench) -> None:
    """GET of one ticket has its record alone, and that of a ticket without record none, with the event and the total."""
    http, ticket = _http(bench), await bench.ticket()
    await http.requests_of.send("POST", "", await http.post(ticket))
    for asked, expected in ((ticket, [ticket]), (await bench.ticket(), [])):
        answer = await http.requests_of.get({"event": bench.event, "ticket": asked})
        done = f"sent GET of a ticket with {len(expected)} records"
        expect(answer.status == 200, done, "200", _answer(answer))
        page = answer.json()
        found = [one.get(TICKET) for one in page["records"]]
        expect(found == expected, done, f"records of {expected or 'no ticket'}", found or "none")
        expect(page.get("total") == len(expected), done, f"a total of {len(expected)}", page.get("total"))
        expect(page.get("next") is None, done, "no `next`", page.get("next"))
        expect("name" in (page.get("event") or {}), done, "the event with its name", page.get("event"))


@check
async def answers_soon(bench: Bench) -> None:
    """A list and a look-up are answered within five seconds; after ten no answer is taken."""
    http, ticket = _http(bench), await bench.ticket()
    for what, params in (("a list", {}), ("a look-up", {"ticket": ticket})):
        began = time.monotonic()
        await http.requests_of.get({"event": bench.event, **params})
        seconds = time.monotonic() - began
        expect(seconds <= SOON, f"sent GET for {what}", f"an answer within {SOON:g} s", f"one after {seconds:.1f} s")


async def _refused(bench: Bench, how: str, signing: Signing, *, reads: bool = True) -> None:
    """Send all four methods so; expect 401 to each, and that nothing was written."""
    http, (ticket, key), new = _http(bench), await _record(bench), await bench.ticket()
    before = await bench.one(ticket, "created a record")
    if reads:
        answer = await http.requests_of.get({"event": bench.event}, signing)
        expect(answer.status == 401, f"sent GET {how}", "401", _answer(answer))
    sent: tuple[tuple[str, str, Any], ...] = (
        ("POST", "", await http.post(new)),
        ("PUT", f"/{key}", {TICKET: ticket, "event": bench.event, "name": "Forged"}),
        ("DELETE", f"/{key}", None),
    )
    answers = {method: await http.requests_of.send(method, path, body, signing) for method, path, body in sent}
    for method, answer in answers.items():
        expect(answer.status == 401, f"sent {method} {how}", "401", _answer(answer))
    await _nothing_of(bench, new, f"sent POST {how}")
    after = await bench.one(ticket, f"sent PUT and DELETE {how}")
    expect(after == before, f"sent PUT and DELETE {how}", "the record as before", after)


async def _nothing_of(bench: Bench, ticket: TicketId, done: str) -> None:
    found = await bench.target.find(bench.event, ticket, None)
    expect(not found, done, "no record", keys(found))


async def _record(bench: Bench) -> tuple[TicketId, str]:
    ticket = await bench.ticket()
    return ticket, await bench.create(await bench.wanted(ticket))


def _http(bench: Bench) -> HttpBench:
    if not isinstance(bench, HttpBench):
        raise TypeError("these checks need an HttpBench")
    return bench


def _answer(answer: Answer) -> str:
    words = answer.body[:80].decode(errors="replace") if answer.status >= 400 else ""
    return f"{answer.status} {words}".rstrip()


CHECKS = checks(globals())

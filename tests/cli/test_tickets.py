import json
from pathlib import Path
from typing import Any

from sandbox.model import Event
from tests.rig.commands import Commands
from tests.rig.wix import WixRig


def commands(name: str, folder: Path, wix: WixRig) -> Commands:
    """A command whose server does not run, so that it reads the sandbox."""
    return Commands(name, folder, {name.upper(): value for name, value in wix.settings().items()})


async def test_tickets_with_a_snippet(tmp_path: Path, wix: WixRig) -> None:
    """`tickets` prints every ticket with its id, and the HTML of the first one that visitors see; notes stand apart."""
    status, out, err = await commands("tickets", tmp_path, wix).run(PUBLIC_URL="https://counter.example")

    assert 0 == status
    assert all(f"  {id_}   " in out for id_ in wix.tickets.values())
    assert '\n<script async src="https://counter.example/widget/v1/ticket-counter.js"></script>\n<ticket-counter' in out
    assert "ticket-counter: read from Wix, since no `serve` runs with DATA_DIR=data and REDIS_URL is not set\n" == err


async def test_tickets_of_one_event(tmp_path: Path, wix: WixRig) -> None:
    """`tickets --event` prints those of one event, by its slug or its id."""
    other = _other_event(wix)
    run = commands("tickets", tmp_path, wix).run

    for name in (wix.world.events[wix.event].slug, wix.event):
        _, out, _ = await run("--event", name, "--json")
        assert [wix.event] == [one["event"] for one in json.loads(out)["events"]]
    _, out, _ = await run("--json")
    assert {wix.event, other.id} == {one["event"] for one in json.loads(out)["events"]}


async def test_unknown_event(tmp_path: Path, wix: WixRig) -> None:
    """An event that is not there is an error that says where events are listed."""
    status, out, err = await commands("tickets", tmp_path, wix).run("--event", "nope")

    assert (2, "") == (status, out)
    assert (
        "ticket-counter: there is no event 'nope' that has tickets: `ticket-counter events` lists the events\n" == err
    )


async def test_events(tmp_path: Path, wix: WixRig) -> None:
    """`events` prints each event with its id and slug."""
    run = commands("events", tmp_path, wix).run
    own = wix.world.events[wix.event]

    _, out, _ = await run()
    assert f"upcoming   8 tickets   {own.id}   {own.slug}   {own.title}\n" in out
    _, out, _ = await run("--json")
    assert [(own.id, 8)] == [(one["event"], one["tickets"]) for one in json.loads(out)["events"]]


async def test_site_without_tickets(tmp_path: Path, wix: WixRig) -> None:
    """A site without tickets is no error: both commands say where to create them."""
    for id_ in wix.tickets.values():
        wix.world.delete(id_)

    for name in ("tickets", "events"):
        status, out, _ = await commands(name, tmp_path, wix).run()
        assert (0, True) == (status, out.startswith("There are no tickets yet: create them in Wix"))


async def test_fault_is_told_with_its_cure(tmp_path: Path, wix: WixRig) -> None:
    """A fault of Wix is one line, with its cure below, and exit status 2."""
    status, out, err = await commands("tickets", tmp_path, wix).run(WIX_APP_SECRET="wrong")

    assert (2, "") == (status, out)
    fault, cure = err.splitlines()
    assert fault.startswith("ticket-counter: Wix gave no token for site ")
    assert cure.startswith("  WIX_APP_SECRET or WIX_APP_ID is wrong: copy both again from the OAuth page")


def _other_event(wix: WixRig) -> Event:
    """A second event with one ticket."""
    own = wix.world.events[wix.event]
    found = wix.world.create_event("Second night", own.start, own.end)
    wix.world.create(found.id, **fields_of(wix))
    return found


def fields_of(wix: WixRig) -> dict[str, Any]:
    """The fields that a new ticket needs, by the example of another one."""
    like = wix.world.tickets[wix.tickets["fixed"]]
    return {"name": "Seated", "pricing": like.pricing, "prices": like.prices, "limit": 5}

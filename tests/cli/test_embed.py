from pathlib import Path

import pytest

from server import pages, snippet
from server.catalog.catalog import Catalog
from server.catalog.listed import ListedEvent, ListedTicket
from server.cli import embed
from server.counter import State
from server.embed_page import EmbedPage
from server.errors import NotStarted
from server.model import EventId, SiteId, TicketId
from tests.rig.commands import Commands
from tests.rig.server import SITE, TICKET
from tests.rig.several_sites import several_sites
from tests.rig.wix import WixRig

FOREIGN = SiteId("5f0e4d3c-1111-4111-8111-00000000b002")
ADDRESS = "https://counter.example"


@pytest.fixture
def command(tmp_path: Path, wix: WixRig) -> Commands:
    """`embed` without a server that runs, so that it reads the sandbox."""
    settings = {name.upper(): value for name, value in wix.settings().items()}
    return Commands("embed", tmp_path, {**settings, "PUBLIC_URL": ADDRESS})


@pytest.mark.parametrize("name", [TICKET, TICKET.upper(), "1111"])
async def test_ticket(command: Commands, wix: WixRig, name: str) -> None:
    """Of a ticket only the HTML goes to standard output; where to paste it stands on standard error."""
    status, out, err = await command.run(name)

    wanted = snippet.snippet(ADDRESS, [(TICKET, wix.world.tickets[TICKET].name)])
    assert (0, f"{wanted}\n") == (status, out)
    assert f"an HTML iframe with the website address {ADDRESS}/embed?ticket={TICKET}\n" in err
    assert "PUBLIC_URL" not in err


async def test_event(command: Commands, wix: WixRig) -> None:
    """Of an event there is one tag, by its id, which does not move to another event as a slug may; the title stands in it."""
    event = wix.world.events[wix.event]
    status, out, err = await command.run(event.slug)

    assert (0, f"{snippet.event_snippet(ADDRESS, (wix.event, event.title))}\n") == (status, out)
    assert f"{ADDRESS}/embed?event={wix.event}\n" in err
    assert out == (await command.run(wix.event))[1]


async def test_each_ticket_of_an_event(command: Commands, wix: WixRig) -> None:
    """With `--each` each ticket of an event that visitors see is a tag."""
    _, out, err = await command.run(wix.world.events[wix.event].slug, "--each")

    tags = out.splitlines()[1:]
    shown = {id_ for name, id_ in wix.tickets.items() if name != "hidden"}
    assert shown == {tag.split('"')[1] for tag in tags}
    assert all(" show-name show-price>" in tag for tag in tags)
    assert len(shown) == err.count("ticket=")


async def test_what_is_shown(command: Commands) -> None:
    """Options are attributes of the tag, escaped, and parameters of the frame's address."""
    _, out, err = await command.run(
        TICKET, "--show-name", "--show-price", "--show-link", "--option", 'A & "B"', "--lang", "pt-BR", "--eager"
    )

    assert (
        f'<ticket-counter ticket="{TICKET}" lang="pt-BR" option="A &amp; &quot;B&quot;" show-name show-price show-link eager>'
    ) in out
    address = err.split("website address ")[1].split("\n")[0]
    assert (
        f"{ADDRESS}/embed?ticket={TICKET}&lang=pt-BR&option=A+%26+%22B%22&show-name=1&show-price=1&show-link=1"
        == address
    )
    assert EmbedPage.parse(address.partition("?")[2]).option == 'A & "B"'


async def test_language_that_is_none(command: Commands) -> None:
    """A language that is no language tag is refused, with an example."""
    status, out, err = await command.run(TICKET, "--lang", "Deutsch bitte")

    assert (2, "") == (status, out)
    assert "is not a language tag: write one such as de or pt-BR" in " ".join(err.replace("│", " ").split())


async def test_pinned(command: Commands) -> None:
    """`--pin` prints the hash and Subresource Integrity of the widget that this version serves, and what that means."""
    _, out, err = await command.run(TICKET, "--pin")

    assert out.startswith(f"{snippet.script(ADDRESS, pages.WIDGET.read_bytes())}\n")
    assert "a pinned page keeps this version of the script: print the HTML again after an upgrade" in err


async def test_what_keeps_visitors_from_seeing_it(command: Commands, wix: WixRig) -> None:
    """A ticket that visitors are not shown, and an address of this machine alone, are told beside the HTML."""
    status, _, err = await command.run(wix.tickets["hidden"], PUBLIC_URL="", PORT="8123")

    assert 0 == status
    assert "visitors are shown nothing of " in err
    assert err.count("hidden in Wix") == 1
    assert "PUBLIC_URL is not set, so this address works only on this machine" in err
    assert "http://127.0.0.1:8123/embed?ticket=" in err


async def test_several_sites(tmp_path: Path) -> None:
    """Where there are several sites, the HTML and the address of the frame name the ticket's own."""
    async with several_sites(2) as wix:
        second = wix.sites[1]
        settings = {name.upper(): value for name, value in wix.settings().items()}
        run = Commands("embed", tmp_path, {**settings, "PUBLIC_URL": ADDRESS}).run

        _, out, err = await run(ticket := second.tickets["fixed"])

    assert f'<ticket-counter ticket="{ticket}" site="{second.site}">' in out
    assert f"{ADDRESS}/embed?ticket={ticket}&site={second.site}\n" in err


@pytest.mark.parametrize("name", ["nope", "99999999-aaaa-4aaa-8aaa-000000000001", "abcdef", "111"])
async def test_unknown_name(command: Commands, name: str) -> None:
    """A name that means nothing is an error that says where ids are listed."""
    status, out, err = await command.run(name)

    assert (2, "") == (status, out)
    assert (
        f"ticket-counter: there is no ticket and no event '{name}': `ticket-counter tickets` lists them with their ids\n"
        in err
    )


def test_name_that_means_several() -> None:
    """A name that means tickets or events of several sites is refused, with the ids to choose from."""

    def event(site: SiteId, number: int) -> ListedEvent:
        ticket = ListedTicket(TicketId(f"11111111-aaaa-4aaa-8aaa-00000000000{number}"), "", State.LOW, 1)
        id_ = EventId(f"0b5f1a2e-4444-4444-8444-00000000e00{number}")
        return ListedEvent(site, id_, "Gala", "gala", tickets=(ticket,))

    both = event(SiteId(SITE), 1), event(FOREIGN, 2)
    found = Catalog((SiteId(SITE), FOREIGN), both, frozenset())

    with pytest.raises(NotStarted, match=r"^several sites have an event 'gala': name it by its id: 0b5f"):
        embed.asked(found, "gala")
    with pytest.raises(
        NotStarted, match=r"^several ids begin with '1111': write more of one\n  1{8}-aaaa-\S+1\n  1{8}-aaaa-\S+2$"
    ):
        embed.asked(found, "1111")
    assert FOREIGN == embed.asked(found, both[1].event).site

from pathlib import Path

import pytest
from pydantic import SecretStr

from server.campaign import ChannelName
from server.errors import NotStarted
from server.keyring import KeyRing
from server.model import EventId, SiteId, TicketId
from server.notify.announcement import AnnouncedTicket, Announcement
from server.notify.config import EventAudience, MailSettings, NotifyConfig, PushSettings, Tool
from server.notify.named_events import NamedEvent
from server.notify.previewer import Previewer
from server.notify.sales import SaleStart
from server.notify.trigger import TicketView
from server.redis.client import RedisClient
from server.store.definitions import StoredEvent
from tests.rig.notify_models import ModelAudience, people

SITE, EVENT, TICKET = SiteId("s"), EventId("e"), TicketId("t")
MAIL = MailSettings(SecretStr("smtp://relay.example.org"), "news@example.org", "Example Hall", "1 Street", "", "")
SAID = Announcement(
    "Gala", "https://www.example.org/gala", (AnnouncedTicket(TICKET, "Seat", 1000.0, on_sale=True),), 2000.0
)
SALE = SaleStart((TicketView(TICKET, "Seat", 1000.0, True, False),), True, 1000.0, 8200.0, SAID, "", "Europe/Berlin")


def event(tool: Tool | None, *, push: bool = False) -> NamedEvent:
    return NamedEvent(SITE, StoredEvent(EVENT, "Gala", False), EventAudience("gala", tool, push=push))


def previewer(store: RedisClient, folder: Path, **settings: object) -> Previewer:
    config = NotifyConfig(folder / "notify.toml", {}, "https://tickets.example.org", **{"mail": MAIL, **settings})  # type: ignore[arg-type]
    return Previewer(store, config, KeyRing(["n" * 43]))


async def test_numbers_of_a_preview(store: RedisClient, tmp_path: Path) -> None:
    """A preview has the message's tickets, languages and times, and counts the audience of the tool."""
    found = await previewer(store, tmp_path).numbers(event(Tool("x", "csv")), SALE, ModelAudience(people(3)))

    assert ("gala", "Gala", 1000.0, 8200.0, 2000.0) == (
        found.event_name,
        found.title,
        found.start,
        found.deadline,
        found.begins,
    )
    assert ((TICKET,), ("Seat",), ()) == (found.tickets, found.on_sale, found.later)
    assert {"en", "de", "he"} <= set(found.languages)
    assert found.audience is not None
    assert (3, 0) == (found.audience.mails, found.pushes)
    assert {ChannelName.MAIL: 25.0} == found.per_second


async def test_event_with_push_alone(store: RedisClient, tmp_path: Path) -> None:
    """An event without a tool has no audience and no files, and counts the browsers that subscribed."""
    one = previewer(store, tmp_path, mail=None, push=PushSettings((), ""))
    found = await one.numbers(event(None, push=True), SALE, None)

    assert (None, 0, (), {ChannelName.PUSH: 50.0}) == (found.audience, found.pushes, found.languages, found.per_second)
    assert "" == one.write(event(None), SAID, tmp_path / "preview", at=0.0)
    assert not (tmp_path / "preview").exists()


def test_files_of_a_preview(store: RedisClient, tmp_path: Path) -> None:
    """The message is written as text, HTML and a whole mail in each language, into a folder that is made where it is missing."""
    folder = tmp_path / "a" / "preview"
    told = previewer(store, tmp_path).write(event(None), SAID, folder, at=0.0)

    languages, forms = ("en", "de", "he"), ("html", "txt", "eml")
    assert {f"gala.{one}.{form}" for one in languages for form in forms} <= {file.name for file in folder.iterdir()}
    assert f"{folder}/gala.{{en,de,he}}.{{html,txt,eml}}" == told
    assert b"List-Unsubscribe: <https://tickets.example.org/u/preview>" in (folder / "gala.de.eml").read_bytes()
    assert "Seat" in (folder / "gala.en.txt").read_text()


def test_folder_that_cannot_be_written(store: RedisClient, tmp_path: Path) -> None:
    """A folder that cannot be written is told."""
    (tmp_path / "file").write_text("")
    with pytest.raises(NotStarted, match="the files of the preview cannot be written"):
        previewer(store, tmp_path).write(event(None), SAID, tmp_path / "file", at=0.0)

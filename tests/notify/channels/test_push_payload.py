import json

import pytest

from server.model import TicketId
from server.notify.announcement import AnnouncedTicket, Announcement
from server.notify.channels.push_payload import LENGTH, campaign_payload, first_payload, topic
from server.notify.message.languages import Languages

PAGE = "https://tickets.example.org/tell-me?event=0b5f1a2e-4444-4444-8444-00000000e001&site=5f0e4d3c-1111-4111-8111-00000000b001"
NAMES = [
    "Spring Gala",
    "x" * 10_000,
    "\N{PARTY POPPER}" * 5_000,
    "\\" * 5_000,
    '"' * 5_000,
    "\x00\x1f\x7f\r\n\u2028" * 500,
    "\u202e" * 3_000,
    "\ud800" * 3_000,
    "כרטיסים " * 500,
    "",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("language", ["en", "de", "he"])
def test_any_name_makes_a_message(name: str, language: str) -> None:
    """Whatever an organiser calls an event and its tickets, the message has its length, is JSON, and names our page in full."""
    tickets = tuple(AnnouncedTicket(TicketId(str(n)), name, 0.0, on_sale=True) for n in range(5))
    spoken = Languages().choose(language)
    address = f"{PAGE}#confirm={'A' * 300}"
    for payload in (
        campaign_payload(Announcement(name, "", tickets), spoken, address, "tag"),
        first_payload(name, spoken, address, "tag"),
    ):
        said = json.loads(payload)["notification"]

        assert LENGTH == len(payload)
        assert address == said["navigate"]
        assert (language, spoken.direction) == (said["lang"], said["dir"])
        assert said["title"]
        assert not set("\x00\x1f\x7f\r\n\u2028") & set(said["title"] + said["body"])


def test_a_test_says_so() -> None:
    """A message that is only a test says so in front."""
    payload = campaign_payload(Announcement("Gala", "", ()), Languages().choose("en"), PAGE, "tag", test=True)

    assert "[test] Tickets are on sale: Gala" == json.loads(payload)["notification"]["title"]


def test_topics_are_short_and_of_their_parts() -> None:
    """A topic has 32 characters that the header takes, and differs with each of its parts."""
    found = {topic("a", "b"), topic("a", "c"), topic("ab", ""), topic("\ud800")}

    assert 4 == len(found)
    assert all(len(one) == 32 and one.replace("-", "").replace("_", "").isalnum() for one in found)

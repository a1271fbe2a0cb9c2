"""What a campaign needs: subscribers in a CSV file, notify.toml, settings, and an event whose sale starts soon.

The local Wix has the same two events in every turn, so that the counter has the same to do: the sale of one starts after
SALE_AFTER seconds, that of the other one tomorrow. The state says whether there is a notify.toml, and which of them is in it.
"""

import time
from enum import StrEnum
from pathlib import Path

from sandbox.model import Price, Pricing
from sandbox.world import World
from server.keyring import new_key

SALE_AFTER = 9.0
"""Seconds until the sale starts: the server has started before, and the site has calls to Wix to spare again."""
DAY = 86_400.0
PER_SECOND = 25.0
LANGUAGES = ("en", "de", "he")

FILE = """format = 1
[mail]
per_second = {per_second}
[tools.readers]
kind = "csv"
file = "readers.csv"
[events.{event}]
tool = "readers"
"""


class State(StrEnum):
    """What notify does in a turn."""

    WITHOUT = "without notify.toml"
    IDLE = "with it, no campaign"
    CAMPAIGN = "while one runs"


SOON, TOMORROW = "spring-gala", "autumn-ball"
NAMED = {State.IDLE: TOMORROW, State.CAMPAIGN: SOON}
"""The event in notify.toml."""


def add_events(world: World) -> None:
    """Make the two events, with one ticket each."""
    now = time.time()
    for slug, start in ((SOON, now + SALE_AFTER), (TOMORROW, now + DAY)):
        title = slug.replace("-", " ").title()
        event = world.create_event(title, now + 30 * DAY, now + 31 * DAY, "Europe/Berlin", slug=slug)
        world.create(
            event.id,
            name="Early bird",
            limit=100_000,
            start=int(start),
            end=now + 29 * DAY,
            pricing=Pricing.FIXED,
            prices=(Price("25.00", "EUR"),),
        )


def settings(state: State, folder: Path, relay: int, recipients: int) -> dict[str, str]:
    """The settings of notify, whose files are written into the folder; none without notify.toml."""
    if state is State.WITHOUT:
        return {}
    file = folder / "notify.toml"
    file.write_text(FILE.format(per_second=PER_SECOND, event=NAMED[state]))
    lines = (f"reader{one}@people.example,{LANGUAGES[one % len(LANGUAGES)]}\n" for one in range(recipients))
    (folder / "readers.csv").write_text("email,language\n" + "".join(lines))
    return {
        "NOTIFY_FILE": str(file),
        "NOTIFY_KEYS": new_key(),
        "NOTIFY_SMTP_URL": f"smtp+plain://127.0.0.1:{relay}",
        "NOTIFY_FROM": "news@example.org",
        "NOTIFY_SENDER_NAME": "Example Hall",
        "NOTIFY_POSTAL_ADDRESS": "1 Example Street, Exampleton",
        "PUBLIC_URL": "https://tickets.example.org",
    }

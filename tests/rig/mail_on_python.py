"""Writes mails with names of attackers, under whatever Python runs it, and prints what came of it as JSON.

It is run by tests/notify/message/test_mime.py under each Python that is found, with the packages of this one that are of Python alone. So it
imports nothing that needs a compiled package (pydantic, for instance).
"""

import json
import sys
from email import message_from_bytes, policy

from server.model import TicketId
from server.notify.announcement import AnnouncedTicket, Announcement
from server.notify.message.mime import Envelope, Sender, written
from server.notify.message.renderer import Renderer

PAGE, LINK = "https://www.example.org/events/gala", "https://tickets.example.org/u/" + "gAAAAABn" * 40 + "=="


def main() -> None:
    """Read names as a JSON list from standard input; print for each mail its headers' names, its subject and its longest lines."""
    renderer = Renderer("Théâtre “Exemple”, GmbH", "1 Example Street, 10115 Berlin")
    sender = Sender("news@example.org", "Théâtre “Exemple”, GmbH", "office@example.org")
    found = []
    for name in json.load(sys.stdin):
        for language in renderer.languages.all:
            ticket = AnnouncedTicket(TicketId("t"), name, 1_796_144_400.0, on_sale=True)
            announcement = Announcement(name, PAGE, (ticket,), None, "Europe/Berlin", name)
            rendered = renderer.render(announcement, language.name, LINK)
            envelope = Envelope("ann@example.net", "rowrowrowrowrowrowrowr", "gala@12-01T18", LINK, 1_796_144_400.0)
            content = written(sender, rendered, envelope)
            parsed = message_from_bytes(content, policy=policy.default)
            head, _, body = content.partition(b"\r\n\r\n")
            found.append(
                {
                    "names": list(parsed.keys()),
                    "lines": [line.decode() for line in head.split(b"\r\n") if line.startswith(b"List-U")],
                    "subject": parsed["Subject"] == rendered.subject,
                    "from": parsed["From"].addresses[0].display_name,
                    "body": max(map(len, body.split(b"\r\n"))),
                }
            )
    json.dump({"python": list(sys.version_info[:3]), "mails": found}, sys.stdout)


if __name__ == "__main__":
    main()

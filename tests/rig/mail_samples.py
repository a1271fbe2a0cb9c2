"""What mails in tests are made of: an announcement, who writes, and one recipient."""

from typing import Any

from pydantic import SecretStr

from server.model import Price, TicketId
from server.notify.announcement import AnnouncedTicket, Announcement
from server.notify.audience.source import Member
from server.notify.channels.channel import Delivery
from server.notify.config import MailSettings
from server.notify.message.mime import Envelope, Sender
from server.notify.message.renderer import Renderer
from server.notify.message.template_check import checked_renderer

SENDER, ADDRESS = "Example Theatre", "1 Example Street, 10115 Berlin"
STARTS = 1_796_144_400.0
"""Tue 1 Dec 2026 18:00 in Berlin."""
BEGINS = 1_804_359_600.0
"""Sat 6 Mar 2027 20:00 in Berlin."""
PAGE = "https://www.example.org/events/gala?a=1&b=2"
UNSUBSCRIBE = "https://tickets.example.org/u/" + "gAAAAABn" * 40 + "=="
ROW = "8f31c0aAbBcCdDeE-_12345"[:22]
CAMPAIGN = "spring-gala@12-01T18"

EVIL_NAMES = (
    "=?utf-8?q?a=0D=0ABcc=3A_x=40evil.example?=",
    "=?utf-8?b?YQ0KQmNjOiB4QGV2aWwuZXhhbXBsZQ==?=",
    "=\0?utf-8?q?a=0D=0ABcc=3A_x?=",
    "a\r\nBcc: x@evil.example",
    "a\r\n\r\n<p>a second body</p>",
    "a\nBcc: x@evil.example",
    "a\rBcc: x@evil.example",
    "a\u2028Bcc: x@evil.example",
    "a\u2029\x85\x0b\x0cBcc: x@evil.example",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% include 'x' %}",
    "\u202eevil\u2066",
    "\ud800",
    "",
    "é" * 400,
)
"""Names of events and tickets as an attacker would type them."""


def ticket(name: str = "Early bird", **changes: Any) -> AnnouncedTicket:
    """A ticket that is on sale since STARTS, but for *changes*."""
    values: dict[str, Any] = {"start": STARTS, "on_sale": True, "prices": (Price("45.00", "EUR"),), **changes}
    return AnnouncedTicket(TicketId(f"id of {name}"), name, **values)


def announcement(**changes: Any) -> Announcement:
    """Two tickets, of which one is on sale half an hour later."""
    balcony = ticket("Balcony", start=STARTS + 1800, on_sale=False, prices=(Price("30", "EUR"),))
    values: dict[str, Any] = {
        "title": "Spring Gala",
        "page": PAGE,
        "tickets": (ticket(), balcony),
        "begins": BEGINS,
        "zone": "Europe/Berlin",
        "location": "Old Hall",
        **changes,
    }
    return Announcement(**values)


def renderer(**options: Any) -> Renderer:
    """One that writes for the theatre."""
    return checked_renderer(SENDER, ADDRESS, **options)


def mail_sender() -> Sender:
    """The theatre."""
    return Sender("news@example.org", SENDER, "box-office@example.org")


def envelope(recipient: str = "ann@example.net") -> Envelope:
    """To one recipient."""
    return Envelope(recipient, ROW, CAMPAIGN, UNSUBSCRIBE, STARTS)


def mail_settings(url: str, **changes: Any) -> MailSettings:
    """The theatre's, for this relay."""
    values: dict[str, Any] = {
        "sender": "news@example.org",
        "sender_name": SENDER,
        "postal_address": ADDRESS,
        "reply_to": "box-office@example.org",
        "envelope_sender": "bounces@example.org",
        **changes,
    }
    return MailSettings(SecretStr(url), **values)


def delivery(recipient: str = "ann@example.net", **changes: Any) -> Delivery:
    """To one recipient, in English."""
    values: dict[str, Any] = {
        "row": ROW,
        "language": "en",
        "deadline": STARTS + 7200,
        "announcement": announcement(),
        "unsubscribe": UNSUBSCRIBE,
        "campaign": CAMPAIGN,
        **changes,
    }
    return Delivery(member=Member(recipient), address=recipient, **values)

"""The mail relay: does it take a connection, with TLS, and our password? Nothing is sent.

In: the settings of mail. Out: one finding.
"""

from server.doctor.finding import Finding
from server.notify.channels.mail import SERVER
from server.notify.channels.relay import Limits, Refused, Relay, address
from server.notify.channels.smtp_replies import Place
from server.notify.config import MailSettings

NAME = "mail"
LIMITS = Limits(connect=5.0, greeting=10.0, ehlo=10.0)
"""Seconds for a person who waits; a campaign waits for longer."""


async def found(settings: MailSettings) -> Finding:
    """Open a connection as a campaign does, and take leave."""
    where = address(settings.url)
    place = Place(SERVER, where.host, settings.sender)
    relay = Relay(where, place, settings.domain, connections=1, limits=LIMITS)
    try:
        relay.keep(await relay.open())
    except Refused as error:
        why = "no mail can be sent: campaigns wait until this is mended"
        return Finding.fault(NAME, f"the relay {where.host}: {error.reply.reason}", why, error.reply.cure)
    finally:
        await relay.aclose()
    signed_in = " and our password" if where.user else ""
    return Finding.ok(NAME, f"the relay {where.host} takes a connection{signed_in}; nothing was sent")

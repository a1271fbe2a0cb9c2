"""What a push message says, as bytes: JSON that our service worker shows, and that a browser can show without it.

In: an announcement, or the title of an event; a language; the address of our page. Out: bytes that are all of one length, so that a push
service cannot tell them apart by it. Sources: the Push API's draft of declarative messages (`web_push`, `navigate`, `mutable`); iOS 18.4
shows those by itself. Large messages do not reach each browser: about 2,700 bytes pass the bridge to Android.
"""

import base64
import hashlib
import json

from server.notify.announcement import Announcement
from server.notify.message.content import message, say
from server.notify.message.languages import Language
from server.single_line import clean

LENGTH = 2048
"""Bytes of every message before it is encrypted, which adds 103 (RFC 8188: header, key, delimiter, tag)."""
MOST_ENCRYPTED = 2500
"""Bytes that an encrypted message may have."""
LONGEST_TITLE, LONGEST_BODY = 300, 600
"""Bytes of the texts, as JSON; a title is shown in part only, after some 60 characters."""
DECLARATIVE = 8030
"""What marks a message that a browser may show by itself: the number of the RFC of Web Push."""


def campaign_payload(
    announcement: Announcement, language: Language, address: str, tag: str, *, test: bool = False
) -> bytes:
    """The message of a campaign; *address* is our page, which says what is left when it is opened."""
    said = message(announcement, language)
    title = f"[test] {said.subject}" if test else said.subject
    return _payload(title, said.summary, language, address, tag)


def first_payload(title: str, language: Language, address: str, tag: str) -> bytes:
    """The first message to a browser; *address* has the token that it sends back. Our service worker runs before it is shown."""
    body = say(language, "push_first", event=clean(title))
    return _payload(say(language, "push_first_title"), body, language, address, tag, mutable=True)


def topic(*parts: str) -> str:
    """A hash of these texts in 32 characters, as the header Topic takes them: a newer message of a topic replaces an older one."""
    digest = hashlib.sha256("\n".join(parts).encode(errors="replace")).digest()
    return base64.urlsafe_b64encode(digest[:24]).decode()


def _payload(title: str, body: str, language: Language, address: str, tag: str, *, mutable: bool = False) -> bytes:
    notification = {
        "title": _shortened(title, LONGEST_TITLE),
        "body": _shortened(body, LONGEST_BODY),
        "lang": language.name,
        "dir": language.direction,
        "navigate": address,
        "tag": tag,
    }
    content = {"web_push": DECLARATIVE, "notification": notification, **({"mutable": True} if mutable else {})}
    return _json(content).ljust(LENGTH)


def _shortened(text: str, most: int) -> str:
    """The text, or so much of it that it takes so many bytes; a change of direction that is cut off is ended."""
    longest = most
    # From the whole text each time: the ends that are added to it would be cut off, and be added again.
    while len(_json(found := clean(text, longest))) > most and longest > 8:
        longest = longest * 3 // 4
    return found


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

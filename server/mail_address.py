"""An e-mail address in the form in which recipients are compared.

In: an address as a marketing tool or a visitor wrote it. Out: the same address folded: without blanks around it, in Unicode's form
NFC, its domain in the ASCII form of DNS, all in lower case. Two ways to write one mailbox are one recipient.
Sources: RFC 5321, sections 2.3.11 and 4.5.3.1 (lengths); RFC 5891 (IDNA); UTS #46 (mapping).
"""

import re
import unicodedata

import idna

LONGEST = 254
"""Bytes of an address at most (RFC 5321, section 4.5.3.1.3: a path of 256, less its brackets)."""
LONGEST_LOCAL = 64

_LOCAL = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff<>()\[\],;:\\\"@]+"
)
"""What stands before the @: no blank, no control or invisible character, no half of a surrogate pair, and nothing to be quoted."""


def folded(address: str) -> str | None:
    """The address in the form that is compared; None where it is no address that mail can be sent to."""
    local, at, domain = address.strip().rpartition("@")
    local = unicodedata.normalize("NFC", local.lower())
    # An encoded word (RFC 2047) would be read as another address in a header.
    if not at or not _LOCAL.fullmatch(local) or "=?" in local or len(local.encode()) > LONGEST_LOCAL:
        return None
    try:
        ascii_domain = idna.encode(domain.removesuffix("."), uts46=True).decode().lower()
    except idna.IDNAError:
        return None
    found = f"{local}@{ascii_domain}"
    _, dot, last = ascii_domain.rpartition(".")
    return found if dot and last and not last.isdecimal() and len(found.encode()) <= LONGEST else None

"""The header Accept-Encoding: in which content coding a client gets a file.

In: the header, as any client may send it, and the codings that there are. Out: one of them. Source: RFC 9110, section 12.5.3.
"""

from collections.abc import Sequence

IDENTITY = "identity"
MOST = 20
"""Codings of a header that are looked at."""


def chosen(header: str | None, available: Sequence[str]) -> str | None:
    """The coding that the client likes best, among equals the first of *available*, `identity` last; None if it accepts none.

    Without the header it is `identity`: a client that understands others says so.
    """
    if header is None:
        return IDENTITY
    qualities: dict[str, float] = {}
    for part in header.split(",", MOST)[:MOST]:
        coding, *parameters = (one.strip().lower() for one in part.split(";"))
        if coding:
            qualities[coding.removeprefix("x-")] = _quality(parameters)
    others = qualities.get("*", 0.0)
    best, best_quality = None, 0.0
    for coding in available:
        quality = qualities.get(coding, others)
        if quality > best_quality:
            best, best_quality = coding, quality
    if IDENTITY in qualities:
        return IDENTITY if qualities[IDENTITY] > best_quality else best
    # It need not be named to be accepted, and is refused only by name or by `*;q=0`.
    return best or (None if "*" in qualities and others == 0 else IDENTITY)


def _quality(parameters: Sequence[str]) -> float:
    """The weight from 0 to 1; 1 where there is none, 0 where it cannot be read."""
    for one in parameters:
        name, _, value = one.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0

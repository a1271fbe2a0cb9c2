"""The names of keys and channels in Redis."""

SITES = "tc:sites"
"""The set of all sites that are known."""

WAKE = "tc:wake"
"""The channel that names a site whose schedule has something due now. A hint as well: who misses it looks within a second."""


def key(site: str, *parts: str) -> str:
    """A key of a site; the braces keep all keys of a site in one slot of a cluster."""
    return ":".join((f"tc:{{{site}}}", *parts))


def channel(site: str, ticket: str) -> str:
    """The public channel of a ticket's counter."""
    return key(site, "live", ticket)

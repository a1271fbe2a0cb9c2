"""The names of keys and channels in Redis."""

SITES = "tc:sites"
"""The set of all known sites."""

WAKE = "tc:wake"
"""The channel that names a site of which something is due now. It only saves time: workers poll every second anyway."""


def key(site: str, *parts: str) -> str:
    """A key of a site; the braces put all keys of a site into one slot of a cluster."""
    return ":".join((f"tc:{{{site}}}", *parts))


def channel(site: str, ticket: str) -> str:
    """The public channel of a ticket's counter."""
    return key(site, "live", ticket)

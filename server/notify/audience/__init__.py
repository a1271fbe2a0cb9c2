"""The marketing tools that know who has subscribed.

source.py         the Protocol: what notify needs of one; what each kind of tool is asked for in notify.toml
mailman.py        a mailing list of Mailman 3
wix.py            contacts of a Wix site with a label
mailchimp.py      an audience of Mailchimp, or a tag or segment of it
mailchimp_api.py  its calls
csv_file.py       a CSV file
csv_records.py    its records
push_subscriptions.py  browsers that subscribed on our own page
calls.py          HTTP calls: time limit, redirects, errors

docs/adding-an-audience.md says how to add one.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Protocol

from server.notify.audience.source import AudienceSource, Kind, SourceContext
from server.notify.config import EventAudience

CLASSES = {
    "csv": "server.notify.audience.csv_file:CsvFile",
    "mailman": "server.notify.audience.mailman:Mailman",
    "mailchimp": "server.notify.audience.mailchimp:Mailchimp",
    "wix": "server.notify.audience.wix:WixLabel",
}
"""Each kind of tool with its class: a further kind is one line here."""


class SourceClass(Protocol):
    """A class of sources: `KIND` says what notify.toml has to say; it raises NotStarted where that cannot be right."""

    KIND: Kind

    def __call__(self, audience: EventAudience, context: SourceContext) -> AudienceSource:
        """The source of one event."""
        ...


@cache
def source_class(kind: str) -> SourceClass:
    """The class of a kind, which is imported only where it is used; raises KeyError for one that is not in CLASSES."""
    module, _, name = CLASSES[kind].partition(":")
    found: SourceClass = getattr(import_module(module), name)
    return found


def kinds() -> Mapping[str, Kind]:
    """What each kind of tool is asked for in notify.toml."""
    return {kind: source_class(kind).KIND for kind in sorted(CLASSES)}


def open_source(audience: EventAudience, context: SourceContext) -> AudienceSource:
    """The source of an event that has a tool; no connection is made yet. Raises NotStarted where it cannot be right."""
    if audience.tool is None:
        raise ValueError("this event has no tool")
    return source_class(audience.tool.kind)(audience, context)

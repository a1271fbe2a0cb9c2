"""How we authenticate to Wix's API: as an app, or with an API key of the sites' owner.

Sources: Wix, "Create Access Token", "About API Keys".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from server.model import SiteId


@dataclass(frozen=True, slots=True)
class App:
    """A Wix app: its id and its secret, good for every site that installed it."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key of the sites' owner, and the site id that goes with each app instance."""

    key: str = field(repr=False)
    sites: Mapping[SiteId, str]

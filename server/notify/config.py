"""What notify.toml and the settings of notify say, as values: who is told of which event, by which tool, and how fast.

file/ reads them. Nothing here opens a file or a connection.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

HOUR = 3600.0
NO_SECRET = SecretStr("")


@dataclass(frozen=True, slots=True)
class Tool:
    """A marketing tool: `name` is the organiser's own, `kind` says which it is, `own` are the settings that only this kind has."""

    name: str
    kind: str
    url: str = ""
    secret: SecretStr = NO_SECRET
    secret_env: str = ""
    own: Mapping[str, str] = field(default_factory=dict)
    allow_http: bool = False


@dataclass(frozen=True, slots=True)
class EventAudience:
    """Who is told of one event, which `event` names by its id or slug.

    `audience` says which part of the tool: its list, tag, segment or file. `date_field`: where the tool holds the date of the sale's
    start, None = nowhere. `push`: browsers that subscribed at our page are told too. `line` is where notify.toml says so.
    """

    event: str
    tool: Tool | None = None
    audience: Mapping[str, str] = field(default_factory=dict)
    date_field: str | None = None
    push: bool = False
    line: int = 1


@dataclass(frozen=True, slots=True)
class MailSettings:
    """The relay (NOTIFY_SMTP_URL) and who writes. `domain` is that of `sender`, of which Message-IDs are made."""

    url: SecretStr
    sender: str
    sender_name: str
    postal_address: str
    reply_to: str
    envelope_sender: str
    per_second: float = 25.0
    connections: int = 4

    @property
    def domain(self) -> str:
        """The domain of the sender's address."""
        return self.sender.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class PushSettings:
    """The private VAPID keys, the newest first, whom push services may write to, and further hosts that may be named."""

    keys: tuple[SecretStr, ...]
    contact: str
    hosts: tuple[str, ...] = ()
    per_second: float = 50.0
    connections: int = 8


@dataclass(frozen=True, slots=True)
class NotifyConfig:
    """All of it. `window`: seconds after a sale's start in which it is announced; `together`: seconds within which starts are one.

    `public_url` is ours, to which links lead. `templates`: a folder of the organiser's own, None = ours. `file` is notify.toml.
    """

    file: Path
    events: Mapping[str, EventAudience]
    public_url: str
    mail: MailSettings | None = None
    push: PushSettings | None = None
    window: float = 2 * HOUR
    together: float = HOUR
    templates: Path | None = None
    language: str = "en"

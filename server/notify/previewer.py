"""What a message says before it is sent: its numbers, and files in each language.

In: an event, and the start of its sale. Out: a Preview, and files in a folder. Nothing is claimed, and nobody is written to.
"""

from collections.abc import Mapping
from pathlib import Path

from server.campaign import ChannelName
from server.errors import NotStarted
from server.keyring import KeyRing, Purpose
from server.notify.announcement import Announcement
from server.notify.audience.source import AudienceSource
from server.notify.audience_count import count_audience
from server.notify.channels.mail import sender
from server.notify.config import MailSettings, NotifyConfig, PushSettings
from server.notify.message.mime import Envelope, previews
from server.notify.message.renderer import Renderer
from server.notify.message.template_check import checked_renderer
from server.notify.named_events import NamedEvent
from server.notify.reports import Preview
from server.notify.sales import SaleStart
from server.redis.client import RedisClient
from server.store.push_subscriptions import PushSubscriptions
from server.store.suppressions import Suppressions

SAMPLE_RECIPIENT = "reader@example.org"
"""To whom the mails of a preview are addressed."""
SAMPLE_TOKEN = "preview"  # noqa: S105 - a link that leads nowhere
"""The last part of the link to leave the list in such a mail."""


class Previewer:
    """Previews of the events of *config*."""

    def __init__(self, redis: RedisClient, config: NotifyConfig, keyring: KeyRing) -> None:
        self._redis = redis
        self._config = config
        self._keyring = keyring
        self._renderer: Renderer | None = None

    def renderer(self, settings: MailSettings) -> Renderer:
        """Writes messages; raises NotStarted where a template is wrong. Templates are checked once."""
        if self._renderer is None:
            self._renderer = checked_renderer(
                settings.sender_name, settings.postal_address, own=self._config.templates, default=self._config.language
            )
        return self._renderer

    async def numbers(self, event: NamedEvent, sale: SaleStart, source: AudienceSource | None) -> Preview:
        """What would be announced, and to how many. Raises AudienceError and RedisUnavailable."""
        config, about, audience = self._config, event.audience, None
        if source is not None:
            audience = await count_audience(source, event.site, Suppressions(self._redis), self._keyring)
        pushes = 0
        if about.push:
            pushes = await PushSubscriptions(self._redis, self._keyring).count(event.site, event.id)
        channels: dict[ChannelName, MailSettings | PushSettings | None] = {
            ChannelName.MAIL: config.mail if about.tool else None,
            ChannelName.PUSH: config.push if about.push else None,
        }
        said = sale.announcement
        return Preview(
            site=event.site,
            event=event.id,
            event_name=event.name,
            title=event.stored.title,
            begins=said.begins if said else None,
            zone=sale.zone,
            start=sale.start,
            deadline=sale.deadline,
            tickets=sale.ids,
            on_sale=sale.on_sale,
            later=sale.later,
            languages=tuple(one.name for one in self.renderer(config.mail).languages.all) if config.mail else (),
            language=config.language,
            audience=audience,
            pushes=pushes,
            per_second={name: one.per_second for name, one in channels.items() if one is not None},
            reason=sale.reason,
            started=sale.started,
            starts=tuple(one.start for one in sale.tickets),
        )

    def write(self, event: NamedEvent, announcement: Announcement, folder: Path, *, at: float) -> str:
        """Write the mail in each language as text, HTML and a whole mail; answers how the files are told, "" where there is no mail."""
        if self._config.mail is None:
            return ""
        envelope = Envelope(
            SAMPLE_RECIPIENT,
            self._keyring.hash(Purpose.ROW, "preview", event.name),
            event.name,
            f"{self._config.public_url}/u/{SAMPLE_TOKEN}",
            at,
        )
        files = previews(self.renderer(self._config.mail), sender(self._config.mail), announcement, envelope)
        return _written(folder, event.name, files)


def _written(folder: Path, name: str, files: Mapping[str, bytes]) -> str:
    """Write the files; answers such as preview/spring-gala.{en,de}.{html,txt,eml}."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            (folder / f"{name}.{file}").write_bytes(content)
    except OSError as error:
        raise NotStarted(f"the files of the preview cannot be written: {error}") from None
    languages, forms = (list(dict.fromkeys(part)) for part in zip(*(one.split(".") for one in files), strict=True))
    return f"{folder / name}.{{{','.join(languages)}}}.{{{','.join(forms)}}}"

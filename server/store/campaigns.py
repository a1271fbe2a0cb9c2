"""Campaigns of notify: each is opened once, and a ticket is announced by one.

In: what the opener found on sale, and what a person asks for. Out: the campaigns. Every method raises RedisUnavailable when Redis
does not take its command. Times are in seconds since 1970, by Redis's clock.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from server.campaign import Campaign, ChannelName
from server.model import EventId, SiteId, TicketId
from server.redis.client import RedisClient
from server.store import scripts
from server.store.keys import Keys
from server.wire import encodable


class Campaigns:
    """The campaigns of all sites."""

    def __init__(self, redis: RedisClient) -> None:
        self.redis = redis
        self.keys = Keys(redis.namespace)

    async def open(self, campaign: Campaign, *, again: bool = False) -> Campaign | None:
        """Open a campaign; None where one of its tickets was announced before, unless they are to be *again*.

        Answers it as it is stored: with `.2`, `.3` and so on behind its name where that was taken.
        """
        number, name = 1, campaign.name
        while (answer := await self._open(replace(campaign, name=name), again=again)) == "taken":
            number += 1
            name = f"{campaign.name}.{number}"
        return await self.read(campaign.site, name) if answer == "opened" else None

    async def record_too_late(self, campaign: Campaign) -> bool:
        """Record what was missed, as a campaign of which nothing goes out; False where one of its tickets was announced before."""
        return await self.open(replace(campaign, too_late=True)) is not None

    async def join(self, site: SiteId, name: str, tickets: Sequence[TicketId]) -> bool:
        """Have a campaign announce these tickets too; one that was announced before stays with the campaign that did so.

        False, and nothing is done, where a message of it has gone out on some channel, or it is over or stopped.
        """
        keys = [self._key(site, name), self.keys.notify(site, "announced"), *self._runs(site, name)]
        return bool(await self.redis.run(scripts.NOTIFY_JOIN, keys, [name, *tickets]))

    async def read(self, site: SiteId, name: str) -> Campaign | None:
        """One campaign; None where there is none of this name any more."""
        pairs = dict(await self.redis.do("HGETALL", self._key(site, name)))
        return _campaign(site, name, pairs) if "deadline" in pairs else None

    async def of_site(self, site: SiteId, *, skip: Collection[str] = ()) -> list[Campaign]:
        """All campaigns of a site that are kept still, the newest first; those whose names are in *skip* are not read."""
        names = await self.redis.do("ZREVRANGE", self.keys.notify(site, "campaigns"), 0, -1)
        found = [await self.read(site, name) for name in names if name not in skip]
        return [one for one in found if one is not None]

    async def announced(self, site: SiteId) -> Mapping[TicketId, str]:
        """Every ticket that was announced, with the name of the campaign that did so."""
        found: dict[str, str] = dict(await self.redis.do("HGETALL", self.keys.notify(site, "announced")))
        return {TicketId(ticket): name for ticket, name in found.items()}

    async def stop(self, site: SiteId, name: str, by: str, channels: Collection[ChannelName] = ()) -> bool:
        """Stop a campaign in the name of a person; False where it is over: stopped already, done, or past its deadline.

        It is done where each of its *channels* is, and each that was begun; without any it is done where both are.
        """
        return await self._stop(site, name, "stop", encodable(by), channels or ChannelName)

    async def go_on(self, site: SiteId, name: str) -> bool:
        """Have a campaign that was stopped go on; False where it is not stopped, or its deadline has passed."""
        return await self._stop(site, name, "go_on", "", ())

    async def _open(self, campaign: Campaign, *, again: bool) -> str:
        keys = [self._key(campaign.site, campaign.name)]
        keys += [self.keys.notify(campaign.site, name) for name in ("campaigns", "announced")]
        fields: dict[str, str | int] = {
            "event": campaign.event,
            "event_name": encodable(campaign.event_name),
            "title": encodable(campaign.title),
            "tickets": " ".join(campaign.tickets),
            "start": repr(campaign.start),
            "deadline": repr(campaign.deadline),
            "key": campaign.key,
            "opened_by": campaign.opened_by,
            "too_late": int(campaign.too_late),
        }
        args: list[str | int] = [
            campaign.name,
            repr(campaign.start),
            int(again),
            len(campaign.tickets),
            *campaign.tickets,
        ]
        args += [part for pair in fields.items() for part in pair]
        return str(await self.redis.run(scripts.NOTIFY_OPEN, keys, args))

    async def _stop(self, site: SiteId, name: str, how: str, by: str, channels: Iterable[ChannelName]) -> bool:
        keys = [self._key(site, name), *self._runs(site, name)]
        needed = [int(channel in set(channels)) for channel in ChannelName]
        return bool(await self.redis.run(scripts.NOTIFY_STOP, keys, [how, by, *needed]))

    def _runs(self, site: SiteId, name: str) -> list[str]:
        return [self.keys.notify(site, "run", name, channel) for channel in ChannelName]

    def _key(self, site: SiteId, name: str) -> str:
        return self.keys.notify(site, "campaign", name)


def _campaign(site: SiteId, name: str, pairs: Mapping[str, Any]) -> Campaign:
    return Campaign(
        name=name,
        site=site,
        event=EventId(pairs["event"]),
        event_name=pairs["event_name"],
        title=pairs["title"],
        tickets=tuple(TicketId(one) for one in pairs["tickets"].split()),
        start=float(pairs["start"]),
        deadline=float(pairs["deadline"]),
        opened_at=float(pairs["opened_at"]),
        key=pairs["key"],
        opened_by=pairs["opened_by"],
        stopped_at=float(pairs["stopped_at"]) if "stopped_at" in pairs else None,
        stopped_by=pairs.get("stopped_by", ""),
        too_late=pairs.get("too_late") == "1",
    )

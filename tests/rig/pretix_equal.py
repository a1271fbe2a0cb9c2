"""Compares the local Wix with pretix, ticket by ticket, by the rules that sync promises, and by none of its code.

In: the tickets of an event, and all items and quotas of pretix's event. Out: every difference as a line; none means one to one.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from sandbox.model import Pricing, Ticket
from tests.rig.pretix import META, PretixServer

Json = Mapping[str, Any]


async def differences(
    pretix: PretixServer, event: str, tickets: Collection[Ticket], gone: Collection[str] = ()
) -> list[str]:
    """How an event of pretix differs from these *tickets*; *gone*: ids of deleted tickets, whose items must not be on sale."""
    items, quotas = await pretix.all(event, "items"), await pretix.all(event, "quotas")
    found: list[str] = []
    by_id: dict[str, list[Json]] = {}
    for item in items:
        by_id.setdefault(bears(item), []).append(item)
    for ticket in tickets:
        ours = by_id.get(ticket.id, [])
        if len(ours) == 1:
            found += [
                f"{ticket.name} {ticket.id[:8]}, item {ours[0]['id']}: {one}" for one in _of(ticket, ours[0], quotas)
            ]
        else:
            found.append(f"{ticket.name} {ticket.id[:8]}: {len(ours)} items")
    for id_ in gone:
        found += [f"{id_[:8]} is deleted, and item {one['id']} on sale" for one in by_id.get(id_, []) if one["active"]]
    known = {ticket.id for ticket in tickets} | set(gone)
    found += [f"items of the unknown ticket {id_}" for id_ in by_id if id_ and id_ not in known]
    names = Counter(str(quota["name"]) for quota in quotas if str(quota["name"]).startswith("wix:"))
    found += [f"{number} quotas {name}" for name, number in names.items() if number > 1]
    return found


async def half_made(pretix: PretixServer, event: str) -> list[str]:
    """Items with a Wix id that are on sale although they are not complete: what a crash must never leave."""
    items, quotas = await pretix.all(event, "items"), await pretix.all(event, "quotas")
    return [
        f"item {item['id']} is on sale without a whole quota"
        for item in items
        if bears(item) and item["active"] and not any(_holds(quota, item) for quota in _ours(item, quotas))
    ]


async def doubles(pretix: PretixServer, event: str) -> list[str]:
    """Wix ids that more than one item, or more than one option of an item, bears."""
    items = await pretix.all(event, "items")
    found = Counter(bears(item) for item in items if bears(item))
    found += Counter(bears(one) for item in items for one in item["variations"] if bears(one))
    return [id_ for id_, number in found.items() if number > 1]


def bears(thing: Json) -> str:
    """The Wix id of an item or a variation; "" where it has none."""
    return str((thing.get("meta_data") or {}).get(META) or "")


def _of(ticket: Ticket, item: Json, quotas: Iterable[Json]) -> Iterator[str]:
    options = ticket.pricing is Pricing.OPTIONS
    closed = "info" if ticket.shown_early else "hide"
    expected: dict[str, Any] = {
        "name": ticket.name,
        "internal_name": f"{ticket.name} · wix:{ticket.id}",
        "active": not ticket.hidden,
        "default_price": max(Decimal(price.value) for price in ticket.prices),
        "free_price": ticket.pricing is Pricing.GUEST,
        "available_from": ticket.start,
        "available_until": ticket.end,
        "available_from_mode": closed,
        "available_until_mode": closed,
        "position": ticket.sort_index,
        "admission": True,
    }
    has: dict[str, Any] = {
        **{name: item[name] for name in expected},
        "name": (item["name"] or {}).get("en"),
        "default_price": Decimal(item["default_price"]),
        "available_from": _moment(item["available_from"]),
        "available_until": _moment(item["available_until"]),
    }
    for name, value in expected.items():
        if has[name] != value:
            yield f"{name} is {has[name]!r}, not {value!r}"
    rows = sorted(item["variations"], key=lambda one: one["position"])
    shown = [
        (bears(one), (one["value"] or {}).get("en"), Decimal(one["default_price"])) for one in rows if one["active"]
    ]
    wanted = [(str(one.option), one.name, Decimal(one.value)) for one in ticket.prices] if options else []
    if shown != wanted:
        yield f"its options are {shown}, not {wanted}"
    ours = list(_ours(item, quotas))
    if len(ours) != 1:
        yield f"it has {len(ours)} quotas"
    for quota in ours:
        if quota["size"] != ticket.limit:
            yield f"its limit is {quota['size']}, not {ticket.limit}"
        if not _holds(quota, item):
            yield f"its quota {quota['id']} lacks some of its options"
        if quota["closed"]:
            yield f"its quota {quota['id']} is closed"


def _ours(item: Json, quotas: Iterable[Json]) -> Iterator[Json]:
    return (quota for quota in quotas if quota["name"] == f"wix:{bears(item)}" and item["id"] in quota["items"])


def _holds(quota: Json, item: Json) -> bool:
    return item["id"] in quota["items"] and {one["id"] for one in item["variations"] if one["active"]} <= set(
        quota["variations"]
    )


def _moment(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()

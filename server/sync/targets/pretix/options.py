"""The options of a ticket, which are variations of its item, at an endpoint of their own.

pretix gives no variations to an item that has none, keeps the last one, and what has orders. It is the plan that refuses to change an
item between one price and options; here pretix's own refusal would be told.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from server.errors import TargetUnsure
from server.sync.model import Fields, Kind, OptionChange, Wanted
from server.sync.targets.pretix.fields import written
from server.sync.targets.pretix.work import META, Work, deleted, variations, wix_id


def body(id_: str, fields: Fields, languages: Mapping[str, str]) -> dict[str, Any]:
    """A new variation with all its fields and the option's Wix id."""
    return {
        **{name: written(name, value, {}, languages) for name, value in fields.items()},
        "meta_data": {META: id_},
    }


async def close(work: Work, changes: Iterable[OptionChange]) -> list[OptionChange]:
    """Delete the variations of removed options; what pretix keeps is taken off sale, and answered."""
    kept = []
    for one in changes:
        if one.kind is not Kind.DEACTIVATE:
            continue
        if not await delete(work, one):
            await _patch(work, one, lambda _: {"active": False})
            kept.append(one)
    return kept


async def delete(work: Work, change: OptionChange) -> bool:
    """Delete the variation of an option, unless pretix keeps it: it has orders, is in a cart, or is the last one."""

    def check(item: dict[str, Any]) -> None:
        _variation(item, change)

    answer = await work.write("option_delete", "DELETE", _path(work, change), check, expected=(403, 404))
    work.forget()
    return deleted(answer)


async def write(work: Work, wanted: Wanted, changes: Iterable[OptionChange], languages: Mapping[str, str]) -> bool:
    """Write the changed options and make the new ones; answers whether one was new, which no quota has yet."""
    new = False
    for one in changes:
        if one.kind is Kind.UPDATE:
            values = {change.name: change.wix for change in one.fields}
            await _patch(work, one, _merged(values, languages))
        elif one.kind is Kind.CREATE:
            await _create(work, one, next(option.fields for option in wanted.options if option.id == one.id), languages)
            new = True
    return new


async def _create(work: Work, change: OptionChange, fields: Fields, languages: Mapping[str, str]) -> None:
    """Make a variation, or write the one that an earlier try has made."""
    made = [one for one in variations(await work.item()) if wix_id(one) == change.id]
    if made:
        await _patch(work, change, _merged(fields, languages), str(made[0]["id"]))
        return
    new = body(change.id, fields, languages)
    await work.write("option_create", "POST", f"{work.path}variations/", lambda _: new)
    work.forget()


async def _patch(work: Work, change: OptionChange, make: Any, key: str | None = None) -> None:
    def found(item: dict[str, Any]) -> Any:
        return make(_variation(item, change, key))

    await work.write("option_update", "PATCH", _path(work, change, key), found)
    work.forget()


def _merged(fields: Fields, languages: Mapping[str, str]) -> Any:
    def make(variation: dict[str, Any]) -> dict[str, Any]:
        return {name: written(name, value, variation, languages) for name, value in fields.items()}

    return make


def _variation(item: Mapping[str, Any], change: OptionChange, key: str | None = None) -> dict[str, Any]:
    """The variation as the item has it now; raises TargetUnsure where it is another one's by now."""
    for one in variations(item):
        if str(one["id"]) == (key or change.key) and wix_id(one) == change.id:
            return one
    raise TargetUnsure(
        f"variation {key or change.key} of item {item['id']} is gone or bears another Wix id: look its ticket up again"
    )


def _path(work: Work, change: OptionChange, key: str | None = None) -> str:
    return f"{work.path}variations/{key or change.key}/"

"""The fields of pretix's items and variations: how a value looks in pretix, how it is compared, and how it is written.

In: pretix's JSON, or a Wanted. Out: values in one form each, so that what was written and what is read are equal: prices with two
decimals, times in UTC, one language of a text, "" for a text that is missing. Seen on pretix 2026.8.0.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Any

from server.sync.definition import utc
from server.sync.mapping import Rule
from server.sync.model import Fields, Reason, TargetEvent, Unfit, Value, Wanted
from server.wix.members import members

LIMIT = "limit"
"""The one field that is none of an item: the size of its quota; None is unlimited."""

ITEM_TEXTS = frozenset({"name", "description"})
OPTION_TEXTS = frozenset({"value", "description"})
"""Texts that pretix keeps in several languages, of which one is ours; a variation's name is `value`."""
PLAIN_TEXTS = frozenset({"internal_name", "checkin_text"})
"""Texts of one language: pretix removes blanks at their ends, and answers null or "" where there is none."""
PRICES = frozenset({"default_price", "original_price", "free_price_suggestion"})
TIMES = frozenset({"available_from", "available_until", "validity_fixed_from", "validity_fixed_until"})
NOT_MAPPED = frozenset(
    {"id", "variations", "addons", "bundles", "program_times", "meta_data", "limit_sales_channels", "sales_channels"}
    | {"picture", "require_membership_types", "has_variations", "tax_rate", "price"}
)
"""Members that are no single value, or that pretix does not let anybody write."""

Names = tuple[frozenset[str], frozenset[str]]
"""The fields of pretix's items and of its variations that a mapping can write."""

SEPARATORS = " ·|-"
"""What may stand between a name and the Wix id in an internal_name."""
LONGEST_NAME = 255
"""Characters of an internal_name."""
LARGEST = 2_147_483_647
"""The largest number that pretix's PostgreSQL holds; its SQLite takes more."""

NO_DECIMALS = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"}
    | {"RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"}
)
"""Currencies without decimals (ISO 4217). pretix has two for all others, also for those that have three."""


@dataclass(frozen=True, slots=True)
class Languages:
    """Which language of pretix's texts is ours, by the name of the field; that of the target where the mapping does not say."""

    items: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, rules: Collection[Rule], options: Collection[Rule], default: str = "en") -> "Languages":
        """Those of a mapping's rules; *default* is the target's."""
        return cls(_languages(rules, ITEM_TEXTS, default), _languages(options, OPTION_TEXTS, default))


def _languages(rules: Collection[Rule], texts: Collection[str], default: str) -> dict[str, str]:
    named = {rule.name: rule.language for rule in rules if rule.language}
    return {name: named.get(name, default) for name in texts}


def read(json: Mapping[str, Any], languages: Mapping[str, str]) -> dict[str, Value]:
    """The fields of an item or a variation as they are compared; what is no single value is left out."""
    found: dict[str, Value] = {}
    for name, value in json.items():
        if name in languages:
            found[name] = text_in(value, languages[name])
        elif name not in NOT_MAPPED and (value is None or isinstance(value, (str, int, bool))):
            found[name] = form(name, value)
    return found


def text_in(value: Any, language: str) -> str:
    """One language of a text; "" where it has none: pretix answers null, {} and {"en": ""} for that."""
    if isinstance(value, str):
        return value
    found = members(value).get(language)
    return found if isinstance(found, str) else ""


def any_text(value: Any, language: str) -> str:
    """A text for people: in this language, or else in the first that has one."""
    return text_in(value, language) or next((str(one) for one in members(value).values() if one), "")


def form(name: str, value: Value) -> Value:
    """A value in the form in which it is compared; raises ValueError where pretix has no such value."""
    if name in PRICES:
        return None if value is None else price(value)
    if name in TIMES:
        return utc(None if value is None else str(value))
    if name in PLAIN_TEXTS:
        return "" if value is None else clean(str(value)).strip()
    return value


def price(value: Value) -> str:
    """A price with its decimals, of which there are two or more; raises ValueError for what is none."""
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{str(value)[:40]!r} is no price") from None
    if not found.is_finite():
        raise ValueError(f"{value} is no price")
    shown = f"{found:f}"
    whole, _, decimals = shown.partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2}"


def clean(text: str) -> str:
    """A text without what pretix's database or JSON cannot hold: NUL, and halves of characters."""
    return text.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def names_in(told: Mapping[str, Any]) -> Names | None:
    """The fields of items and of variations that can be written, by pretix's description of items; None where it gives none."""
    post = members(members(told.get("actions")).get("POST"))
    options = members(members(members(post.get("variations")).get("child")).get("children"))
    items, variations = (
        frozenset(name for name, one in fields.items() if members(one).get("read_only") is not True)
        for fields in (post, options)
    )
    return (items - NOT_MAPPED | {LIMIT}, variations - NOT_MAPPED) if items and variations else None


def unknown(rules: Collection[Rule], options: Collection[Rule], names: Names | None) -> tuple[str, ...]:
    """The fields of a mapping that pretix does not have, or lets nobody write, each with the table that names it.

    pretix would ignore them in silence. Where *names* is None it is not known which it has.
    """
    tables = (("fields", rules), ("options", options))
    return tuple(
        f"{rule.name} in [{table}]{_like(rule.name, has)}"
        for (table, named), has in zip(tables, names or (None, None), strict=True)
        for rule in named
        if rule.name in NOT_MAPPED or (has is not None and rule.name not in has)
    )


def _like(name: str, names: Collection[str] | None) -> str:
    like = get_close_matches(name.lower(), sorted(names or ()), 1)
    return f" (did you mean {like[0]}?)" if like else ""


def fit(wanted: Wanted, event: TargetEvent, languages: Languages) -> Wanted | Unfit:
    """A ticket in pretix's form, or why it has none."""
    if unfit := _currency(wanted, event):
        return unfit
    try:
        fields = _fit(wanted.fields, languages.items, event.currency)
        initial = _fit(wanted.initial, languages.items, event.currency)
        found = tuple(
            replace(one, fields=_fit(one.fields, languages.options, event.currency, least=0)) for one in wanted.options
        )
        for part in (fields, initial):
            if "internal_name" in part:
                part["internal_name"] = shortened(str(part["internal_name"]), wanted.ticket)
    except _TooPreciseError as error:
        return Unfit(wanted.ticket, wanted.name, Reason.CURRENCY, str(error), "change the price in Wix")
    except ValueError as error:
        return Unfit(wanted.ticket, wanted.name, Reason.MAPPING, str(error), "change the mapping in sync.toml")
    return replace(wanted, fields=fields, initial=initial, options=found)


class _TooPreciseError(ValueError):
    """A price with more decimals than its currency has."""


def _currency(wanted: Wanted, event: TargetEvent) -> Unfit | None:
    if len(wanted.currencies) > 1:
        text = f"its options have several currencies: {', '.join(sorted(wanted.currencies))}"
        return Unfit(wanted.ticket, wanted.name, Reason.CURRENCY, text, "give all its options one currency in Wix")
    others = wanted.currencies - {event.currency}
    if others and event.currency:
        text = f"its price is in {min(others)}, and the event {event.key} of pretix is in {event.currency}"
        return Unfit(wanted.ticket, wanted.name, Reason.CURRENCY, text, "change the currency in Wix or in pretix")
    return None


def _fit(
    fields: Fields,
    languages: Mapping[str, str],
    currency: str | None,
    *,
    least: int = -LARGEST,
) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, value in fields.items():
        if name == LIMIT:
            found[name] = None if value is None else min(max(int(value), 0), LARGEST)
        elif name in languages:
            found[name] = clean("" if value is None else str(value))
        elif name == "position" and isinstance(value, int):
            found[name] = min(max(value, least), LARGEST)
        else:
            found[name] = _form(name, value, currency)
    return found


def _form(name: str, value: Value, currency: str | None) -> Value:
    try:
        found = form(name, value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if name in PRICES and found is not None:
        decimals = 0 if currency in NO_DECIMALS else 2
        if Decimal(str(found)) != round(Decimal(str(found)), decimals):
            raise _TooPreciseError(f"{name}: {found} has more decimals than {currency} has in pretix ({decimals})")
    return found


def mark_of(ticket: str) -> str:
    """What an internal_name and the name of a quota have of the Wix id: pretix cannot search for meta data."""
    return f"wix:{ticket}"


def marked(name: str, ticket: str) -> str:
    """An internal_name of this name and Wix id."""
    return shortened(f"{clean(name)} · {mark_of(ticket)}", ticket)


def unmarked(internal_name: str, ticket: str) -> str:
    """An internal_name without the Wix id; "" where nothing else was in it."""
    if not ticket:
        return internal_name
    head, mark, tail = internal_name.partition(mark_of(ticket))
    return f"{head.rstrip(SEPARATORS)}{tail}".strip() if mark else internal_name


def shortened(internal_name: str, ticket: str) -> str:
    """An internal_name of at most 255 characters, with the whole Wix id; raises ValueError where it has none."""
    head, mark, tail = internal_name.partition(mark_of(ticket))
    if not mark:
        raise ValueError(f"internal_name does not hold {mark_of(ticket)}, which is how a ticket's item is found")
    tail = tail[: LONGEST_NAME - len(mark)]
    name = head.rstrip(SEPARATORS)
    between = head[len(name) :][: LONGEST_NAME - len(mark) - len(tail)]
    name = name[: LONGEST_NAME - len(between) - len(mark) - len(tail)].rstrip()
    return f"{name}{between}{mark}{tail}".strip()


def written(name: str, value: Value, has: Mapping[str, Any], languages: Mapping[str, str]) -> Any:
    """What a request has of a field; *has* is what pretix has now, whose other languages are sent again: it replaces all."""
    if name not in languages:
        return value
    current = has.get(name)
    # A text that pretix has in no language reads as one of its own default language, and so it is a dict already.
    return {**members(current), languages[name]: value or ""}

from typing import Any

import pytest

from sandbox.errors import Invalid
from sandbox.event_validation import event_changes, new_event
from sandbox.model import EventStatus, Registration, Tax

TAX = {"type": "ADDED_AT_CHECKOUT", "name": "VAT", "rate": "21.55"}
ID = "0B5F1A2E-4444-4444-8444-00000000E001"


def test_every_member_of_an_event_is_parsed() -> None:
    """Each member becomes the field of the event that it is about."""
    parsed = new_event({
        "id": ID,
        "draft": True,
        "title": "Fête",
        "start": "2026-02-11T10:00:00Z",
        "end": "2026-02-11T12:00:00+01:00",
        "zone": "Asia/Tokyo",
        "slug": "fête-1",
        "tax": {**TAX, "appliedToDonations": True},
        "hideEventDetailsPage": True,
        "pageBase": "javascript:",
        "missing": ["registration.status"],
        "registration": {"paused": True, "status": "OPEN_LATER"},
    })  # fmt: skip

    assert {
        "id_": ID.lower(),
        "draft": True,
        "title": "Fête",
        "start": 1_770_804_000.0,
        "end": 1_770_807_600.0,
        "zone": "Asia/Tokyo",
        "slug": "fête-1",
        "tax": Tax("ADDED_AT_CHECKOUT", "VAT", "21.55", on_donations=True),
        "page_hidden": True,
        "page_base": "javascript:",
        "missing": frozenset({"registration.status"}),
        "registration": Registration(paused=True, override="OPEN_LATER"),
    } == parsed


def test_only_what_is_sent_is_changed() -> None:
    """A member that is not sent stays as it is; null ends a tax and a status that was set."""
    present = Registration(paused=True, override="OPEN_RSVP")

    assert {} == event_changes({}, present)
    assert {"status": EventStatus.DRAFT, "tax": None} == event_changes({"status": "DRAFT", "tax": None}, present)
    changed = event_changes({"registration": {"disabled": True, "status": None}}, present)
    assert {"registration": Registration(paused=True, disabled=True)} == changed


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ([], "event"),
        ({"titel": "Fair"}, "titel"),
        ({"title": ""}, "title"),
        ({"title": "x" * 121}, "title"),
        ({"zone": 7}, "zone"),
        ({"status": "LOST"}, "status"),
        ({"status": ["DRAFT"]}, "status"),
        ({"start": "soon"}, "start"),
        ({"end": 7}, "end"),
        ({"end": "2026-02-11T10:00:00"}, "end"),
        ({"slug": "a/b"}, "slug"),
        ({"slug": ""}, "slug"),
        ({"slug": None}, "slug"),
        ({"tax": "VAT"}, "tax"),
        ({"tax": {**TAX, "type": "NONE"}}, "tax.type"),
        ({"tax": {**TAX, "type": ["ADDED_AT_CHECKOUT"]}}, "tax.type"),
        ({"tax": {**TAX, "name": ""}}, "tax.name"),
        ({"tax": {**TAX, "name": "x" * 11}}, "tax.name"),
        ({"tax": {**TAX, "rate": 21.55}}, "tax.rate"),
        ({"tax": {**TAX, "rate": "0"}}, "tax.rate"),
        ({"tax": {**TAX, "rate": "100.001"}}, "tax.rate"),
        ({"tax": {**TAX, "rate": "1.0001"}}, "tax.rate"),
        ({"tax": {**TAX, "rate": "NaN"}}, "tax.rate"),
        ({"tax": {**TAX, "rate": "much"}}, "tax.rate"),
        ({"tax": {**TAX, "appliedToDonations": "yes"}}, "tax.appliedToDonations"),
        ({"hideEventDetailsPage": 1}, "hideEventDetailsPage"),
        ({"pageBase": 1}, "pageBase"),
        ({"missing": "registration"}, "missing"),
        ({"missing": ["title"]}, "missing"),
        ({"registration": True}, "registration"),
        ({"registration": {"paused": "yes"}}, "registration.paused"),
        ({"registration": {"soldOut": True}}, "registration.soldOut"),
        ({"registration": {"status": "closed"}}, "registration.status"),
        ({"registration": {"status": 7}}, "registration.status"),
    ],
)
def test_invalid_change_is_named(sent: Any, field: str) -> None:
    """A wrong value, or a member that does not exist, is refused with its path."""
    with pytest.raises(Invalid) as caught:
        event_changes(sent, Registration())

    assert field == caught.value.field


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({}, "title"),
        ({"title": "Fair", "status": "DRAFT"}, "status"),
        ({"title": "Fair", "draft": "yes"}, "draft"),
        ({"title": "Fair", "id": "x"}, "id"),
        (None, "event"),
    ],
)
def test_invalid_new_event_is_named(sent: Any, field: str) -> None:
    """A new event has a title and no status."""
    with pytest.raises(Invalid) as caught:
        new_event(sent)

    assert field == caught.value.field

import pytest

from sandbox.contacts import ContactBook
from sandbox.errors import Invalid, NotFound, StaleRevision
from tests.rig.wix import ManualClock

FIELD = "custom.next-sale"


def book(clock: ManualClock | None = None) -> ContactBook:
    ids = iter(f"id-{n}" for n in range(1, 100))
    made = ContactBook(clock or ManualClock(), lambda: next(ids))
    made.field(FIELD, "DATE")
    made.field("custom.note", "TEXT")
    made.field("custom.number", "NUMBER")
    return made


def test_each_update_raises_the_revision() -> None:
    """A change gives a contact the next revision and a new date; an update with an older revision is refused."""
    clock = ManualClock()
    contacts = book(clock)
    made = contacts.create(email="ada@example.com")
    clock.advance(5)

    changed = contacts.update(made.id, 1, locale="de")

    assert (2, "de", made.updated + 5, made.created) == (
        changed.revision,
        changed.locale,
        changed.updated,
        changed.created,
    )
    with pytest.raises(StaleRevision, match="the revision is 2"):
        contacts.update(made.id, 1, locale="fr")


def test_extended_fields_are_merged() -> None:
    """An update changes the extended fields that it names, null and an empty text remove one, and others stay unless it replaces."""
    contacts = book()
    made = contacts.create(fields={FIELD: "2026-12-01", "custom.note": "vip"})

    merged = contacts.update(made.id, fields={FIELD: "2026-12-02", "custom.number": 3})
    emptied = contacts.update(made.id, fields={FIELD: None, "custom.number": ""})
    replaced = contacts.update(made.id, replaces=True, fields={FIELD: "2026-12-03"})

    assert {FIELD: "2026-12-02", "custom.note": "vip", "custom.number": 3} == merged.fields
    assert {"custom.note": "vip"} == emptied.fields
    assert {FIELD: "2026-12-03"} == replaced.fields


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("custom.nothing", "x"),
        (FIELD, "1 December"),
        (FIELD, "2026-12-01T18:00:00Z"),
        (FIELD, 3),
        ("custom.number", "3"),
        ("custom.number", True),
        ("custom.note", 3),
    ],
)
def test_value_of_another_type_is_refused(key: str, value: object) -> None:
    """A field that does not exist, and a value that is not of the field's type, are refused with the field's path."""
    with pytest.raises(Invalid) as refused:
        book().create(fields={key: value})

    assert f"info.extendedFields.items.{key}" == refused.value.field


def test_bulk_job_counts_what_it_changed() -> None:
    """A bulk job changes each contact it was given, and says of how many it could not."""
    contacts = book()
    made = [contacts.create(email=f"{n}@example.com") for n in range(3)]

    good = contacts.update_all(made[:2], fields={FIELD: "2026-12-01"})
    bad = contacts.update_all(made, fields={FIELD: "soon"})

    assert (2, ()) == (good.total, good.errors)
    assert (3, 3) == (bad.total, len(bad.errors))
    assert ["2026-12-01", "2026-12-01", None] == [contacts.contact(one.id).fields.get(FIELD) for one in made]
    assert good == contacts.job(good.id)


def test_subscription_belongs_to_an_address() -> None:
    """A subscription is of an address, whatever its capital letters, and stays when its contact is deleted."""
    contacts = book()
    made = contacts.create(email="ada@example.com")
    contacts.subscribe("Ada@Example.com", "SUBSCRIBED", "VALID")
    first = contacts.subscription("ada@example.com")

    contacts.subscribe("ada@example.com", "UNSUBSCRIBED")
    contacts.delete(made.id)
    second = contacts.subscription("ADA@example.com")

    assert first is not None
    assert second is not None
    assert ("SUBSCRIBED", "VALID") == (first.status, first.deliverability)
    assert (first.id, "UNSUBSCRIBED", "VALID") == (second.id, second.status, second.deliverability)
    assert contacts.subscription("bo@example.com") is None


def test_labels_of_a_new_contact_exist() -> None:
    """The labels of a new contact are created, each once, and keep the name that they have."""
    contacts = book()
    contacts.label("custom.early-birds", "Early birds")

    contacts.create(labels=("custom.early-birds", "custom.vip"))

    assert {"custom.early-birds": "Early birds", "custom.vip": "vip"} == {
        key: label.name for key, label in contacts.labels.items()
    }


def test_unknown_ids_are_not_found() -> None:
    """What does not exist cannot be read, changed or deleted."""
    contacts = book()

    for act in (contacts.contact, contacts.delete, contacts.job, contacts.update):
        with pytest.raises(NotFound, match="there is no"):
            act("nobody")

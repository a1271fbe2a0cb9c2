import pytest

from server.model import EventId, TicketId
from server.sync.conformance.samples import CHANGES, PRICES, TEXTS, TIMES, facts
from server.sync.definition import source
from server.sync.model import Fields
from tests.rig.model_bench import ModelBench, model_settings
from tests.rig.model_target import ModelTarget

TICKET = TicketId("11111111-1111-4111-8111-111111111111")


def fields(**changes: object) -> Fields:
    return source(TICKET, EventId("e"), facts(TICKET, **changes)).fields  # type: ignore[arg-type]


@pytest.mark.parametrize("what", CHANGES)
def test_each_change_changes_something(what: str) -> None:
    """Each change of the sample is another definition: a check that changes it does not compare equal with equal."""
    assert fields() != fields(**CHANGES[what])


def test_texts() -> None:
    """The texts are what they are said to be."""
    assert (30, 200) == (len(TEXTS["30 letters"]), len(TEXTS["200 letters"]))
    assert TEXTS["spaces at the ends"] != TEXTS["spaces at the ends"].strip()
    assert TEXTS.keys() == {name for name, text in TEXTS.items() if text == fields(name=text)["name"]}


def test_no_limit_and_a_limit_of_none() -> None:
    """Unlimited is None, 0 is 0."""
    assert (None, 0) == (fields(limit=None)["limit"], fields(limit=0)["limit"])


def test_amounts_and_times_are_read() -> None:
    """Each price and time is one that a definition may have."""
    assert ["0.00", "0.00", "0.50", "12.50", "19.99", "100000.00"] == [fields(price=one)["price"] for one in PRICES]
    assert all(str(fields(start=one)["sale.start"]).endswith("Z") for one in TIMES)


def test_options() -> None:
    """Options have an id, a name and a price, and the ticket's price is the highest."""
    found = source(TICKET, EventId("e"), facts(TICKET, options=(("a", "Child", "8.50"), ("b", "Adult", "20.00"))))

    assert [("a", "Child"), ("b", "Adult")] == [(one.id, one.name) for one in found.options]
    assert "20.00" == found.fields["price"]


def test_every_field_of_the_model_is_changed() -> None:
    """No field of the model's mapping is left out by the changes, so that each is checked alone."""
    bench = ModelBench(ModelTarget())
    base = bench.mapped(TICKET, facts(TICKET))
    changed = {
        name
        for change in CHANGES.values()
        for name, value in bench.mapped(TICKET, facts(TICKET, **change)).fields.items()  # type: ignore[union-attr]
        if value != base.fields[name]  # type: ignore[union-attr]
    }

    assert {rule.name for rule in model_settings().rules if not rule.initial} == changed

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import BadRequest
from server.model import TicketId
from server.query import Query, parse
from server.wire import guid
from tests.rig.server import OTHER, SITE, TICKET

GUIDS = st.uuids().map(str)
TEXTS = st.text(max_size=60)


def query(*tickets: str, **more: str) -> str:
    return urlencode([*(("ticket", one) for one in tickets), *more.items()])


def test_query_is_parsed() -> None:
    """Tickets are lower-cased, duplicates are removed, their order is kept, and other parameters are ignored."""
    found = parse(f"ticket={OTHER.upper()}&utm_source=x&ticket={TICKET}&ticket={OTHER}&site={SITE.upper()}&x")

    assert Query(SITE, (OTHER, TICKET)) == found  # type: ignore[arg-type]


def test_query_without_a_site() -> None:
    """A request without `site` is for the only site there is."""
    assert parse(query(TICKET)).site is None


def test_query_of_an_event() -> None:
    """An event is named by its id, in any case, or by its slug as it stands; what is wanted is the event, or the tickets."""
    assert OTHER == parse(f"event={OTHER.upper()}").event
    assert "Spring-Gala" == parse("event=Spring-Gala&x").wanted
    assert (TICKET,) == parse(query(TICKET)).wanted


@pytest.mark.parametrize(
    ("text", "field", "reason"),
    [
        ("", "ticket", "name at least one ticket"),
        ("tickets=x", "ticket", "name at least one ticket"),
        ("ticket=", "ticket", "ticket='' is not a GUID"),
        ("ticket", "ticket", "ticket='' is not a GUID"),
        ("ticket=nonsense", "ticket", "ticket='nonsense' is not a GUID"),
        (f"ticket={TICKET}&ticket=%00", "ticket", r"ticket='\x00' is not a GUID"),
        (f"ticket={TICKET}%0A", "ticket", f"ticket='{TICKET}\\n' is not a GUID"),
        (f"ticket= {TICKET}", "ticket", f"ticket=' {TICKET}' is not a GUID"),
        (f"ticket={{{TICKET}}}", "ticket", f"ticket='{{{TICKET}}}' is not a GUID"),
        (f"ticket={TICKET.replace('-', '')}", "ticket", "is not a GUID"),
        (f"ticket={TICKET},{OTHER}", "ticket", "is not a GUID"),
        ("ticket=" + "x" * 1000, "ticket", f"ticket='{'x' * 60}' is not a GUID"),
        ("ticket=%FF%FE", "ticket", r"ticket='\ufffd\ufffd' is not a GUID"),
        (query(TICKET, site=""), "site", "site='' is not a GUID"),
        (query(TICKET, site="x"), "site", "site='x' is not a GUID"),
        (query(TICKET, site=SITE) + f"&site={OTHER}", "site", "one site a request"),
        ("event=", "event", "event='' is neither an id nor a slug"),
        (query(TICKET, event="gala"), "event", "name tickets or an event, not both"),
        ("x" * 4097, "query", "the query string is longer than 4096 bytes"),
        ("&" * 200, "query", "the query string has more than 200 parameters"),
    ],
)
def test_malformed_query_is_refused(text: str, field: str, reason: str) -> None:
    """A query that names no counter is refused with the wrong parameter, whose value is repeated short and in ASCII."""
    with pytest.raises(BadRequest) as caught:
        parse(text)

    assert field == caught.value.field
    assert reason in str(caught.value)
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 400


def test_number_of_tickets_in_a_query_is_limited() -> None:
    """Fifty tickets fit in a request, fifty-one do not, and one named twice counts once."""
    tickets = [f"{number:08x}-aaaa-4aaa-8aaa-000000000001" for number in range(51)]

    assert tuple(tickets[:50]) == parse(query(*tickets[:50], *tickets[:5])).tickets
    with pytest.raises(BadRequest, match="51 tickets in one request; at most 50 are allowed"):
        parse(query(*tickets))


@given(st.lists(GUIDS, min_size=1, max_size=20), st.none() | GUIDS, st.data())
def test_any_valid_query_is_parsed(tickets: list[str], site: str | None, data: st.DataObject) -> None:
    """Any spelling of any GUIDs between any other parameters gives those GUIDs, each once, in order."""
    pairs = [("ticket", data.draw(st.sampled_from([one, one.upper()]))) for one in tickets]
    if site:
        pairs.insert(data.draw(st.integers(0, len(pairs))), ("site", site))
    for other in data.draw(st.lists(TEXTS.filter(lambda name: name not in {"ticket", "site"}), max_size=5)):
        pairs.insert(data.draw(st.integers(0, len(pairs))), (other, "x"))

    found = parse(urlencode(pairs))

    assert (site, tuple(dict.fromkeys(tickets))) == (found.site, found.tickets)


@given(st.text(alphabet="ticketsTS=&%;+0123456789abcdef-\xff\x00", max_size=300) | st.text(max_size=300))
def test_any_query_is_parsed_or_refused(text: str) -> None:
    """Any query string gives GUIDs, or the parameter that is wrong."""
    tickets: tuple[TicketId, ...] = ()
    field = None
    try:
        tickets = parse(text).tickets
    except BadRequest as error:
        field = error.field

    assert (field is None) == bool(tickets)
    assert field in {None, "ticket", "site", "query"}
    assert all(one == guid(one) for one in tickets)

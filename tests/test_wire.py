import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from server import wire
from server.counter import Counter, Rules, State
from server.model import EventId, Fees, Price, Sale, SaleStatus, TicketId
from tests.rig.fake_reader import EVENT, definition
from tests.rig.server import TICKET

TEXTS = st.text(max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
PRICES = st.builds(Price, st.just("25.00"), TEXTS, st.none() | TEXTS, st.none() | TEXTS)
SALES = st.builds(Sale, st.none() | TEXTS, st.none() | TEXTS, st.none() | TEXTS)


# -- counters --


def counter(**more: Any) -> Counter:
    given: dict[str, Any] = {
        "event": EVENT,
        "state": State.LOW,
        "unsold": 3,
        "prices": (Price("20.00", "USD", "a", "Adult"), Price("8.50", "USD", None, None)),
        "shared": True,
        "fees": Fees.ADDED,
        "name": "Family day",
        "sale": Sale("2026-01-10T09:00:00Z", None, "Europe/Berlin"),
        "buy": "https://www.example.com/event-details/gala",
    }
    return Counter(TicketId(TICKET), **{**given, **more})


def test_counter_as_public_json() -> None:
    """The JSON of a counter has exactly the documented members in their order, v first."""
    text = wire.with_v(1_770_804_000_000_001, wire.counter_body(counter()))

    assert (
        f'{{"v":1770804000000001,"ticket":"{TICKET}","event":"{EVENT}","state":"low","unsold":3,"prices":['
        '{"amount":"20.00","currency":"USD","option":"a","name":"Adult"},'
        '{"amount":"8.50","currency":"USD","option":null,"name":null}],"shared":true,"fees":"added","name":"Family day",'
        '"sale":{"start":"2026-01-10T09:00:00Z","end":null,"zone":"Europe/Berlin"},"buy":"https://www.example.com/event-details/gala"}'
    ) == text


def test_unknown_counter_has_no_values() -> None:
    """An unknown counter has its ticket and its state, and no other member with a value."""
    found = json.loads(wire.unknown(TicketId(TICKET)))

    assert (TICKET, "unknown", 0) == (found.pop("ticket"), found.pop("state"), found.pop("v"))
    assert {"start": None, "end": None, "zone": None} == found.pop("sale")
    assert {None, False} == {value for value in found.values() if value != []}


@given(st.integers(1, 2**53), TEXTS, st.lists(PRICES, max_size=3).map(tuple), SALES)
def test_any_counter_is_one_line_of_json(v: int, name: str, prices: tuple[Price, ...], sale: Sale) -> None:
    """Any counter is one line of JSON with the same values, and v is found without parsing."""
    text = wire.with_v(v, wire.counter_body(counter(name=name, prices=prices, sale=sale)))

    found = json.loads(text)
    assert (v, name, [one.name for one in prices]) == (found["v"], found["name"], [p["name"] for p in found["prices"]])
    assert v == wire.v_of(text)
    assert not {"\n", "\r"} & set(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "x", '{"ticket":"x"}', ' {"v":1,', '{"v":-1,', '{"v":1}', "tc:probe", '{"v":0,', '{"v":01,', '{"v":\u0661,',
        '{"v":1.5,', '{"v":"1",', f'{{"v":{10**16},', f'{{"v":{"9" * 5000},',
    ],
)  # fmt: skip
def test_version_of_another_text_is_zero(text: str) -> None:
    """A text that is no counter has version 0, so it never replaces one."""
    assert 0 == wire.v_of(text)


@given(st.sampled_from(State), TEXTS | st.just('"state":"gone"') | st.just('","state":"ended'))
def test_states_that_stay_true(state: State, name: str) -> None:
    """Only gone and ended stay true without a read, and no name can be mistaken for them."""
    text = wire.with_v(1, wire.counter_body(counter(state=state, name=name, prices=(Price("1.00", name, name, name),))))

    assert (state in {State.GONE, State.ENDED}) == wire.stays_true(text)
    assert (state is State.GONE) == wire.is_gone(text)


@given(
    st.integers(0, 100).flatmap(lambda most: st.tuples(st.integers(0, most), st.just(most))),
    st.integers(1, 100_000),
    st.integers(1, 100_000),
    st.sampled_from(SaleStatus),
    st.booleans(),
)
def test_redacted_counters_are_equal(
    limits: tuple[int, int], one: int, other: int, status: SaleStatus, hidden: bool
) -> None:
    """Above SHOW_AT_MOST no byte of a counter depends on the number."""
    rules = Rules(*limits)
    texts = {
        wire.counter_body(
            Counter.of(
                definition(TICKET, limits[1] + above, status=status, hidden=hidden, facts={"n": above}), None, rules
            )
        )
        for above in (one, other)
    }

    assert 1 == len(texts)


# -- counters that are read --


@given(
    st.integers(1, 2**53),
    st.builds(
        Counter,
        st.just(TicketId(TICKET)),
        st.none() | st.just(EventId(EVENT)),
        st.sampled_from(State),
        st.none() | st.integers(),
        st.lists(PRICES, max_size=3).map(tuple),
        st.booleans(),
        st.none() | st.sampled_from(Fees),
        st.none() | TEXTS,
        SALES,
        st.none() | st.just("https://www.example.com/event-details/gala?a=b#c"),
    ),
)
def test_any_counter_is_read_back(v: int, one: Counter) -> None:
    """Law 13: The text of any counter is read as the same counter."""
    assert one == wire.counter_of(wire.with_v(v, wire.counter_body(one)))


ONE = wire.with_v(7, wire.counter_body(counter()))
DEEP = ("[" * 30_000, '{"a":' * 10_000)
VALUES: dict[str, list[Any]] = {
    "ticket": [None, 1, True, [], {}],
    "event": [1, False, [], {}],
    "state": [None, 1, "", "LOW", "low ", "open", "</script>", []],
    "unsold": [3.0, "3", True, False, [3], {}, 1e300],
    "prices": [None, {}, "", [None], [1], ["25.00"], [[]], [{}], [{"amount": "25.00", "currency": "USD"}]],
    "shared": [None, 0, 1, "true", []],
    "fees": ["", "INCLUDED", 1, True, []],
    "name": [1, True, [], {"a": "b"}],
    "sale": [None, [], "now", {}, {"start": None}, {"start": 1, "end": None, "zone": None}],
    "buy": ["", "javascript:alert(1)", "//a.example", "data:text/html,x", "https://a b", "https://a.example/<b>", 1, True, []],
}  # fmt: skip
"""Values that no counter has, by member."""


def changed(**members: Any) -> str:
    """The counter with other members, in the same format."""
    return wire.dumps({**json.loads(ONE), **members})


@pytest.mark.parametrize(("member", "value"), [(name, value) for name, values in VALUES.items() for value in values])
def test_other_values_are_refused(member: str, value: Any) -> None:
    """Law 13: A text in which a member has a value that no counter has is none of ours."""
    assert wire.counter_of(ONE) is not None
    assert None is wire.counter_of(changed(**{member: value}))


@pytest.mark.parametrize("name", ["amount", "currency", "option", "name", "other"])
@pytest.mark.parametrize("value", [1, True, ["a"], "1,5", "-1.00", "1e9", "NaN", "<b>"])
def test_other_prices_are_refused(name: str, value: Any) -> None:
    """Law 13: A price has only its members, all texts, and an amount of money."""
    price = {"amount": "25.00", "currency": "USD", "option": None, "name": None}
    found = wire.counter_of(changed(prices=[{**price, name: value}]))

    assert (name in {"currency", "option", "name"} and isinstance(value, str)) == (found is not None)


@pytest.mark.parametrize("name", [*VALUES, "v"])
def test_missing_members_are_refused(name: str) -> None:
    """Law 13: A text without one of the members, as another version of this program may write it, is none of ours."""
    members = json.loads(ONE)
    del members[name]

    assert None is wire.counter_of(wire.dumps(members))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "7",
        '"low"',
        ONE[:-1],
        f" {ONE}",
        f"{ONE} ",
        f"{ONE}\n",
        f"{ONE}{ONE}",
        f"[{ONE}]",
        ONE.replace(":3,", ":3.0,"),
        ONE.replace(":3,", ":03,"),
        ONE.replace(":3,", ":NaN,"),
        ONE.replace(":3,", ":Infinity,"),
        ONE.replace(":3,", f":{'9' * 5000},"),
        ONE.replace(",", ", "),
        ONE.replace('"low"', '"l\\u006fw"'),
        ONE.replace('"unsold":3', '"unsold":50,"unsold":3'),
        ONE.replace('"unsold":3', '"hidden":50,"unsold":3'),
        ONE.replace("}],", '}],"hidden":50,'),
        ONE.replace("Berlin", 'Berlin","hidden":"50'),
        ONE.replace("Family day", "Family\nday"),
        ONE.replace("Family day", "Family\\/day"),
        ONE.replace("Family day", "Family \\ud83c"),
        ONE.replace('"v":7', '"v":07'),
        ONE.replace('"v":7', '"v":0'),
        ONE.replace('"v":7', '"v":7e0'),
        ONE.replace("Family day", "x" * wire.LONGEST_COUNTER),
        *(f'{{"v":7,"ticket":{deep}' for deep in DEEP),
        json.dumps(dict(reversed(json.loads(ONE).items())), separators=(",", ":")),
        wire.unknown(TicketId(TICKET)),
    ],
)  # fmt: skip
def test_any_other_text_is_refused(text: str) -> None:
    """Law 13: A text that is not, byte for byte, what we write is none of ours, whatever it says and however it is nested."""
    assert text != ONE
    assert None is wire.counter_of(text)


@given(
    st.text(max_size=200)
    | JSON.map(wire.dumps)
    | st.dictionaries(st.sampled_from(["v", *VALUES]), JSON).map(wire.dumps)
)
def test_any_text_can_be_read(text: str) -> None:
    """Law 13: Whatever a text is, reading it fails in no other way than by an answer of None."""
    found = wire.counter_of(text)

    assert found is None or text == wire.with_v(wire.v_of(text), wire.counter_body(found))


@given(st.integers(0, len(ONE) - 1), st.characters(codec="ascii"))
def test_one_other_character(at: int, character: str) -> None:
    """Law 13: If one character of a counter's text is another, the text is refused or says what it says in our format."""
    text = ONE[:at] + character + ONE[at + 1 :]
    found = wire.counter_of(text)

    assert found is None or text == wire.with_v(wire.v_of(text), wire.counter_body(found))


# -- JSON --


@given(JSON)
def test_json_is_compact_and_reads_back_the_same(value: Any) -> None:
    """JSON reads back the same, and has no blanks between its parts."""
    assert value == json.loads(wire.dumps(value))
    assert '{"b":[1,2],"a":"é"}' == wire.dumps({"b": [1, 2], "a": "é"})


@given(st.dictionaries(TEXTS, JSON, max_size=6), st.randoms())
def test_canonical_json_ignores_the_order_of_members(value: dict[str, Any], chance: Any) -> None:
    """Canonical JSON does not depend on the order of members, so reordering alone is no change."""
    members = list(value.items())
    chance.shuffle(members)

    assert wire.canonical(value) == wire.canonical(dict(members))
    assert value == json.loads(wire.canonical(value))


def test_name_cut_in_the_middle_of_an_emoji() -> None:
    """A name that Wix cut in the middle of an emoji gets a replacement character for the rest, and can be sent."""
    name = json.loads(r'"Gala \ud83c"')

    text = wire.counter_body(counter(name=name))

    assert '"name":"Gala \N{REPLACEMENT CHARACTER}"' in text
    assert text.encode()
    assert wire.canonical({"name": name}).encode()
    assert '"name":"Gala \U0001f3ad"' in wire.counter_body(counter(name=json.loads(r'"Gala \ud83c\udfad"')))


@given(st.text())
def test_any_text_can_be_encoded(text: str) -> None:
    """Text of another system becomes text that UTF-8 can hold, which is the same where it was that already."""
    found = wire.encodable(text)

    assert len(text) == len(found.encode().decode())
    assert text == found or wire.HALF.search(text)
    assert "a\N{REPLACEMENT CHARACTER}" == wire.encodable("a\ud83c")


# -- frames --


@given(st.integers(0, 2**53))
def test_heartbeat_and_bye(moment: int) -> None:
    """A heartbeat carries the server's time, a bye the earliest and latest time to come back."""
    assert {"beat": moment} == json.loads(wire.beat(moment))
    assert {"bye": {"retry_ms": [500, moment]}} == json.loads(wire.bye(500, moment))


def parsed(frame: bytes) -> Frame:
    """The frame as a client's parser reads it, to the last byte."""
    reader = StreamReader()
    reader.feed_data(frame)
    reader.feed_eof()
    parser = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as caught:
        next(parser)
    assert reader.buffer == b""
    found: Frame = caught.value.value
    return found


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
def test_text_frame_of_any_size(size: int) -> None:
    """A text frame of any size is read back whole, at the bounds of each of the three ways to write a length."""
    frame = parsed(wire.ws_text("x" * size))

    assert (Opcode.TEXT, True, size) == (frame.opcode, frame.fin, len(frame.data))


@given(st.text(max_size=300))
def test_text_frame_holds_the_text(text: str) -> None:
    """A text frame holds exactly the text, unmasked and without extension bits."""
    frame = parsed(wire.ws_text(text))

    assert text == bytes(frame.data).decode()
    assert (False, False, False) == (frame.rsv1, frame.rsv2, frame.rsv3)


@given(st.sampled_from(["beat", "bye"]), JSON)
def test_server_sent_event_is_one_data_line(name: str, value: Any) -> None:
    """A server-sent event is one data line, named or not, whatever JSON it holds."""
    data = wire.sse_data(wire.dumps(value)).decode()
    event = wire.sse_event(name, wire.dumps(value)).decode()

    assert ["", ""] == data.removeprefix("data: ").split("\n")[1:]
    assert value == json.loads(data.removeprefix("data: "))
    assert f"event: {name}\n{data}" == event


def test_close_codes_say_whether_to_come_back() -> None:
    """The range of an application's close code tells a client whether to come back."""
    ours = {code.name: int(code) for code in wire.Close if code >= 4000}

    assert {"FULL": 4000, "BAD_REQUEST": 4500, "ORIGIN": 4501} == ours


@given(st.text(max_size=40))
def test_guid_is_ascii(text: str) -> None:
    """Only hexadecimal digits in five groups are a GUID, whatever lower-casing makes of a character."""
    found = wire.guid(text)

    assert found is None or (found.isascii() and [8, 4, 4, 4, 12] == [len(part) for part in found.split("-")])

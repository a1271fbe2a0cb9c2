import json
from typing import Any

import pytest

from server.errors import TargetUnavailable, TargetUnsure
from server.model import TicketId
from server.sync.model import (
    NOT_KNOWN,
    FieldChange,
    Kind,
    Operation,
    OptionChange,
    Reason,
    Record,
    RecordOption,
    Wanted,
    WantedOption,
)
from server.sync.targets.calls import Answer
from server.sync.targets.http_json import LONGEST_KEY, object_of, option_json, options_json, path_of, record_of

TICKET = TicketId("11111111-1111-4111-8111-111111111111")
GOOD: dict[str, Any] = {"id": "7", "event": "G", "wix_ticket_definition_id": TICKET}
READ = Answer(200, {}, b"", "box: GET / (find)", wrote=False)


def read(found: Any, *names: str) -> Record:
    """A record as it is read; what can be sent as JSON, that is."""
    return record_of(READ, json.loads(json.dumps(found)), "G", names)


def test_record() -> None:
    """A record has its key, the Wix id, its name, and as fields all that is not reserved."""
    found = read({**GOOD, "title": "Gala", "limit": None, "active": True, "options": []}, "title", "name")

    fields = {"title": "Gala", "limit": None, "active": True}
    assert Record("7", TICKET, "Gala", active=True, fields=fields) == found


def test_least_record() -> None:
    """A record that was made by hand needs no more than its key and its event; it is on sale."""
    assert Record("7", "", "", active=True, fields={}) == read({"id": 7, "event": "G"}, "name")
    assert "" == read({**GOOD, "wix_ticket_definition_id": None}).ticket
    assert not read({**GOOD, "active": False}).active


def test_options() -> None:
    """An option has its Wix id as key, or its place where it has none."""
    options = [{"wix_option_id": "o1", "name": "Child", "active": False}, {"name": "Own"}]

    assert (
        RecordOption("o1", "o1", {"name": "Child"}, active=False),
        RecordOption("option 2", "", {"name": "Own"}),
    ) == read({**GOOD, "options": options}).options


def test_values_that_are_never_sent() -> None:
    """A value that sync never sends is shown as its JSON; one that it sends is unchanged."""
    odd = {"price": 12.5, "tags": [1, "é"], "more": {"a": None}}
    even = {"name": " é\n", "limit": 0, "free": False, "end": None}

    assert {"price": "12.5", "tags": '[1, "\\u00e9"]', "more": '{"a": null}'} == read({**GOOD, **odd}).fields
    assert even == read({**GOOD, **even}).fields


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {**GOOD, "id": None},
        {**GOOD, "id": ""},
        {**GOOD, "id": "."},
        {**GOOD, "id": ".."},
        {**GOOD, "id": "x" * (LONGEST_KEY + 1)},
        {**GOOD, "id": 1.5},
        {**GOOD, "event": "other"},
        {**GOOD, "event": None},
        {**GOOD, "wix_ticket_definition_id": 5},
        {**GOOD, "options": None},
        {**GOOD, "options": [None]},
        {**GOOD, "options": [{"wix_option_id": 5}]},
    ],
)
def test_what_is_no_record(wrong: Any) -> None:
    """What is not as documented is told as an answer that cannot be used, with the request that had it."""
    with pytest.raises(TargetUnavailable, match=r"box: GET / \(find\) was answered 200 with"):
        read(wrong)


def test_object() -> None:
    """What is no object is told; after a write, the outcome is unsure."""
    assert {"a": 1} == object_of(READ, {"a": 1}, "an answer")
    with pytest.raises(TargetUnsure, match="with an answer that is no object"):
        object_of(Answer(201, {}, b"", "box: POST / (create)", wrote=True), 1, "an answer")


@pytest.mark.parametrize(
    ("key", "path"), [("41", "/41"), ("a/b", "/a%2Fb"), ("?#%é ", "/%3F%23%25%C3%A9%20"), ("...", "/...")]
)
def test_path(key: str, path: str) -> None:
    """A key is one part of the address, whatever characters it has."""
    assert path == path_of(Record(key, TICKET, "", active=True, fields={}))


def test_options_of_an_update() -> None:
    """All options of Wix are written; one that a person took off sale stays so, unless the operation puts it on sale."""
    wanted = Wanted(TICKET, "", {}, options=tuple(WantedOption(id_, id_, {"name": id_}) for id_ in "abcd"))
    has = tuple(RecordOption(id_, id_, {}, active=id_ == "a") for id_ in "abc")
    on = FieldChange("active", True, NOT_KNOWN, False)
    changes = (
        OptionChange(Kind.UPDATE, "b", "b", "b", (FieldChange("name", "b", NOT_KNOWN, "x"),)),
        OptionChange(Kind.UPDATE, "c", "c", "c", (on,)),
        OptionChange(Kind.CREATE, "d", "d", None),
    )
    operation = Operation(Kind.UPDATE, TICKET, "", "7", Reason.CHANGED, options=changes)
    found = options_json(Record("7", TICKET, "", active=True, fields={}, options=has), wanted, operation)

    assert {"a": True, "b": False, "c": True, "d": True} == {one["wix_option_id"]: one["active"] for one in found}
    assert {"wix_option_id": "a", "name": "a", "active": True} == found[0] == option_json(wanted.options[0])

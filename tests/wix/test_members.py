import pytest
from hypothesis import given

from server.errors import Malformed
from server.wix import members
from tests.rig.json_samples import JSON
from tests.rig.server import TICKET

MIDNIGHT = 1_781_913_600_000_000


@pytest.mark.parametrize(
    ("base", "path", "address"),
    [
        ("https://www.example.com", "/event-details/fair", "https://www.example.com/event-details/fair"),
        ("http://www.example.com/site", "/fair?a=1#b", "http://www.example.com/site/fair?a=1#b"),
        ("https://www.example.com", None, "https://www.example.com"),
        ("https://www.example.com", 7, "https://www.example.com"),
        ("https://www.example.com", "/f\xeate/\N{TICKET}", "https://www.example.com/f\xeate/\N{TICKET}"),
        ("https://a", "/" + "x" * 1999, "https://a/" + "x" * 1999),
    ],
)
def test_page_is_base_and_path(base: object, path: object, address: str) -> None:
    """The address of a page is its base with its path behind, as Wix gives them."""
    assert address == members.page({"base": base, "path": path})


@pytest.mark.parametrize(
    "base",
    [
        *(
            "",
            "www.example.com",
            "//www.example.com",
            "/event-details",
            "https://",
            "https:///path",
            "https://?a",
            "https://#a",
        ),
        *("javascript:alert(1)", "data:text/html,hello", "ftp://www.example.com", "file:///etc/passwd"),
        *(" https://www.example.com", "javascript://www.example.com", "HTTPS://www.example.com"),
    ],
)
def test_page_is_of_the_web(base: str) -> None:
    """Only http and https with a host are the address of a page: a link to anything else could run a script."""
    assert members.page({"base": base, "path": "/fair"}) is None


@pytest.mark.parametrize("sign", [*" \"'<>\\\t\n\r\0\x07\x1b\x7f\x85\xa0\u2028\ud800"])
@pytest.mark.parametrize(
    "where", ["https://www{}.example.com/fair", "https://www.example.com/{}", "https://www.example.com{}"]
)
def test_page_has_no_sign_that_ends_an_attribute(sign: str, where: str) -> None:
    """An address with blanks, quotes, brackets or control characters is none, in its host and in its path, at its end too."""
    assert members.page({"base": where.format(sign)}) is None
    assert members.page({"base": "https://www.example.com", "path": f"/a{sign}"}) is None


@pytest.mark.parametrize("json", [None, "https://www.example.com", [], {}, {"base": None}, {"path": "/fair"}])
def test_page_that_is_missing(json: object) -> None:
    """Without a base there is no page, whatever else is there."""
    assert members.page(json) is None


def test_page_is_of_bounded_length() -> None:
    """An address of many thousand characters is none."""
    assert members.page({"base": "https://a", "path": "/" + "x" * 2001}) is None


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2026-06-20T00:00:00Z", MIDNIGHT),
        ("2026-06-20T00:00:00", MIDNIGHT),
        ("2026-06-20T00:00:00.001Z", MIDNIGHT + 1000),
        ("2026-06-20T02:00:00+02:00", MIDNIGHT),
        ("", None),
        (None, None),
    ],
)
def test_time_in_microseconds(text: str | None, us: int | None) -> None:
    """A time is microseconds since 1970, in UTC unless it names a zone; no text is no time."""
    assert us == members.parse_time(text, TICKET)


@pytest.mark.parametrize("text", ["soon", "2026-13-01T00:00:00Z", 7, ["2026"], {"a": 1}])
def test_malformed_time(text: object) -> None:
    """Anything else is malformed, and the error names the ticket."""
    with pytest.raises(Malformed, match=f"ticket {TICKET}: .* is not an ISO 8601 time"):
        members.parse_time(text, TICKET)


def test_missing_members() -> None:
    """A member that is missing, or is of another type, is read as empty; of a list only the objects are read."""
    assert {"a": 1} == members.members({"a": 1})
    others: list[object] = [None, [], "text"]
    assert [{}] * 3 == [members.members(one) for one in others]
    assert ["text", "", None, None] == [members.text(one) for one in ("text", "", None, 7)]
    assert [{"a": 1}, {}] == list(members.objects([{"a": 1}, None, "text", {}, []]))
    assert [[]] * 3 == [list(members.objects(one)) for one in (*others[::2], {})]


def test_name_can_be_a_key() -> None:
    """What names something in Redis can be encoded: a text with half an emoji is no name, and neither is an empty one."""
    assert ["fair", "f\xeate", None, None, None, None] == [
        members.name_of(one) for one in ("fair", "f\xeate", "fair-\ud83c", "", None, 7)
    ]


def test_object_of_another_type_is_malformed() -> None:
    """Where an object is needed, anything else is malformed, and the error names it and its type."""
    assert {"a": 1} == members.object_of({"a": 1}, "event")
    with pytest.raises(Malformed, match="event is list, not an object"):
        members.object_of([], "event")


@given(JSON)
def test_id_is_a_guid_or_malformed(value: object) -> None:
    """An id is a GUID in lower case; whatever else stands there is malformed, and the error names the member."""
    assert TICKET == members.id_of(TICKET.upper(), "id")
    with pytest.raises(Malformed, match=r"eventId is .*, not a GUID"):
        members.id_of(value, "eventId")


@given(JSON, JSON)
def test_page_of_anything(base: object, path: object) -> None:
    """Whatever Wix gives, a page's address is of the web, or there is none."""
    found = members.page({"base": base, "path": path})

    assert found is None or found.startswith(("http://", "https://"))

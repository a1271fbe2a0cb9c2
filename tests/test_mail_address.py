import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.mail_address import LONGEST, LONGEST_LOCAL, folded


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ada@example.org", "ada@example.org"),
        ("  Ada@Example.ORG\r\n", "ada@example.org"),
        ("ada+tickets@example.org", "ada+tickets@example.org"),
        ("o'brien@example.org", "o'brien@example.org"),
        ("a/b@example.org", "a/b@example.org"),
        ("ada@example.org.", "ada@example.org"),
        ("ada@müller.example", "ada@xn--mller-kva.example"),
        ("ada@XN--MLLER-KVA.example", "ada@xn--mller-kva.example"),
        ("ada@straße.example", "ada@xn--strae-oqa.example"),
        ("ada@example。org", "ada@example.org"),
        ("ada@Ｅｘａｍｐｌｅ.org", "ada@example.org"),
        ("ÄDA@example.org", "äda@example.org"),
        (unicodedata.normalize("NFD", "äda@example.org"), "äda@example.org"),
        ("דנה@example.org", "דנה@example.org"),
    ],
)
def test_two_ways_to_write_one_mailbox_are_one(address: str, expected: str) -> None:
    """Blanks, case, Unicode forms and the two forms of a domain make no other recipient."""
    assert expected == folded(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "@",
        "ada",
        "ada@",
        "@example.org",
        "ada@localhost",
        "ada@example..org",
        "ada@example.org..",
        "ada@-example.org",
        "ada@exa mple.org",
        "ada@exa_mple.org",
        "ada@[192.0.2.1]",
        "ada@192.0.2.1",
        "ada@xn--a.org",
        "ada lovelace@example.org",
        "ada@example.org, bob@example.org",
        "ada@example.org;bob@example.org",
        "Ada <ada@example.org>",
        '"ada lovelace"@example.org',
        "ada\r\nBcc: eve@example.org",
        "ada\x00@example.org",
        "ada\u2028@example.org",
        "ada\u200b@example.org",
        "ada\u202e@example.org",
        "ada\ufeff@example.org",
        "=?utf-8?q?eve=40example=2Eorg?=@example.org",
        "ada@bob@example.org",
        "ada\ud83d@example.org",
        "ada@exam\ud83dple.org",
    ],
)
def test_what_mail_cannot_be_sent_to_is_no_address(address: str) -> None:
    """What is no address, or could be read as two, as a header or as another address, is refused without an error."""
    assert folded(address) is None


def test_lengths_are_those_of_the_standard() -> None:
    """An address has at most 64 bytes before the @ and 254 in all, counted as they are sent."""
    label = "x" * 62
    domain = f"{label}.{label}.{label}.org"
    assert f"{'a' * LONGEST_LOCAL}@example.org" == folded(f"{'a' * LONGEST_LOCAL}@example.org")
    assert folded(f"{'a' * (LONGEST_LOCAL + 1)}@example.org") is None
    assert folded(f"{'ä' * (LONGEST_LOCAL // 2 + 1)}@example.org") is None
    room = LONGEST - len(domain) - 1
    assert folded(f"{'a' * room}@{domain}") is not None
    assert folded(f"{'a' * (room + 1)}@{domain}") is None
    assert folded(f"a@{'x' * 64}.org") is None
    assert folded("a@" + "x" * 1_000_000) is None


@given(
    st.text(st.characters(), max_size=20),
    st.sampled_from(["", "@example.org", "@MÜLLER.example.", "@a.b", "@\ud800.c"]),
)
def test_a_folded_address_stays_as_it_is(text: str, end: str) -> None:
    """Any text is refused or folded, and what is folded is not folded any further: a row's id is the same each time."""
    found = folded(f"{text}{end}")

    assert found is None or found == folded(found)

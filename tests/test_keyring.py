import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import NotStarted
from server.keyring import SHORTEST, KeyRing, Purpose, new_key

OLD, NEW = "an-old-key-of-at-least-32-characters", "a-newer-key-of-at-least-32-characters"
ADDRESS = "ada@example.org"


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ([], "NOTIFY_KEYS is not set"),
        (["x" * (SHORTEST - 1)], "less than 32 characters"),
        ([NEW, "short"], "less than 32 characters"),
    ],
)
def test_a_ring_without_usable_keys(keys: list[str], complaint: str) -> None:
    """No key, or one too short, is refused with the command that makes one, and without the key."""
    with pytest.raises(NotStarted, match=complaint) as error:
        KeyRing(keys)

    assert "ticket-counter notify keys" in str(error.value)
    assert not [key for key in keys if key in str(error.value)]


def test_a_new_key_is_accepted_and_differs_each_time() -> None:
    """Each key that is made is long enough, can stand in a list with commas, and is another one."""
    keys = [new_key() for _ in range(100)]

    assert 100 == len(set(keys))
    assert {43} == {len(key) for key in keys}
    assert [] == [key for key in keys if not re.fullmatch(r"[\w-]+", key)]
    assert 100 == len(KeyRing(keys).ids)


def test_ids_tell_nothing_of_the_keys() -> None:
    """A key's id is the same in each process and each order, and holds nothing of the key."""
    assert KeyRing([NEW, OLD]).ids == (*KeyRing([NEW]).ids, *KeyRing([OLD]).ids)
    assert [] == [one for one in KeyRing([NEW, OLD]).ids if not re.fullmatch(r"[0-9a-f]{8}", one)]


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none(), st.lists(st.text()))))
def test_what_was_encrypted_is_read_again(content: dict[str, object]) -> None:
    """Any content comes back as it was, from a text that can stand in an address of the web."""
    ring = KeyRing([NEW])
    text = ring.encrypt(Purpose.UNSUBSCRIBE, content)

    assert content == ring.decrypt(Purpose.UNSUBSCRIBE, text)
    assert re.fullmatch(r"[\w=-]+", text)


def test_encrypted_texts_tell_nothing() -> None:
    """Law 18: The same content is another text each time, and no part of it can be read."""
    ring = KeyRing([NEW])
    texts = {ring.encrypt(Purpose.SIGN_UP, {"a": ADDRESS}) for _ in range(20)}

    assert 20 == len(texts)
    parts = (ADDRESS, "example", base64.b64encode(ADDRESS.encode()).decode()[:15])
    assert not [text for text in texts if any(part in text for part in parts)]


def test_keys_are_changed_while_links_are_out() -> None:
    """What an old key made is read as long as it is in the ring, behind the new one; without it, it is not."""
    text = KeyRing([OLD]).encrypt(Purpose.UNSUBSCRIBE, {"a": ADDRESS})

    assert {"a": ADDRESS} == KeyRing([NEW, OLD]).decrypt(Purpose.UNSUBSCRIBE, text)
    assert KeyRing([NEW]).decrypt(Purpose.UNSUBSCRIBE, text) is None
    newer = KeyRing([NEW, OLD]).encrypt(Purpose.UNSUBSCRIBE, {"a": ADDRESS})
    assert KeyRing([OLD]).decrypt(Purpose.UNSUBSCRIBE, newer) is None


@pytest.mark.parametrize("other", [one for one in Purpose if one is not Purpose.UNSUBSCRIBE])
def test_a_text_of_another_purpose_is_not_accepted(other: Purpose) -> None:
    """What was encrypted for one purpose is refused for every other, and hashes differ too."""
    ring = KeyRing([NEW])

    assert ring.decrypt(other, ring.encrypt(Purpose.UNSUBSCRIBE, {"a": ADDRESS})) is None
    assert ring.hash(other, ADDRESS) != ring.hash(Purpose.UNSUBSCRIBE, ADDRESS)


@given(st.text())
def test_any_text_is_refused_without_an_error(text: str) -> None:
    """A text that is no token, such as a stranger may send, is None and raises nothing."""
    assert KeyRing([NEW, OLD]).decrypt(Purpose.UNSUBSCRIBE, text) is None


def test_a_changed_token_is_refused() -> None:
    """A token of which any character was changed, or that was cut, is not accepted."""
    ring = KeyRing([NEW])
    text = ring.encrypt(Purpose.UNSUBSCRIBE, {"a": ADDRESS})
    # The last characters before the padding hold bits that mean nothing, so a changed one may decode to the same.
    kept = text.rstrip("=")[:-1]
    changed = [f"{text[:n]}{'A' if text[n] != 'A' else 'B'}{text[n + 1 :]}" for n in range(len(kept))]

    assert [] == [one for one in changed if ring.decrypt(Purpose.UNSUBSCRIBE, one) is not None]
    assert [] == [n for n in range(len(text) - 1) if ring.decrypt(Purpose.UNSUBSCRIBE, text[:n]) is not None]


@pytest.mark.parametrize("content", ["[1, 2]", "3", "null", "not json", '"text"'])
def test_what_is_no_object_is_refused(content: str) -> None:
    """A token of ours whose content is not an object is None, as of an older version that made another kind."""
    ring = KeyRing([NEW])

    assert ring.decrypt(Purpose.CONFIRM, ring._fernet(Purpose.CONFIRM).encrypt(content.encode()).decode()) is None


def test_hashes_are_the_same_in_every_process() -> None:
    """A hash depends on key, purpose and texts alone; this one was computed by another implementation of RFC 2104 and 5869."""
    assert "Jii4z1YUtchYDvEqlm58UQ" == KeyRing([NEW]).hash(Purpose.ROW, "spring-gala@12-01T18", ADDRESS)


def test_a_hash_has_22_characters_and_hides_the_address() -> None:
    """Law 18: A hash can stand in a key or a Message-ID, and without the key nobody can compute it."""
    found = KeyRing([NEW]).hash(Purpose.ROW, ADDRESS)

    assert re.fullmatch(r"[\w-]{22}", found)
    assert found != KeyRing([OLD]).hash(Purpose.ROW, ADDRESS)


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_no_two_lists_of_texts_have_one_hash(first: list[str], second: list[str]) -> None:
    """Texts that are divided differently have other hashes: `ab`, `c` is not `a`, `bc`."""
    ring = KeyRing([NEW])

    assert (first == second) == (ring.hash(Purpose.ROW, *first) == ring.hash(Purpose.ROW, *second))
    assert ring.hash(Purpose.ROW, "ab", "c") != ring.hash(Purpose.ROW, "a", "bc")


def test_a_hash_under_each_key() -> None:
    """A suppression can be looked up under every key, the newest first, each with its key's id in front."""
    ring = KeyRing([NEW, OLD])
    newest, oldest = ring.hashes(Purpose.SUPPRESSION, "a list", ADDRESS)

    assert KeyRing([NEW]).hashes(Purpose.SUPPRESSION, "a list", ADDRESS) == (newest,)
    assert KeyRing([OLD]).hashes(Purpose.SUPPRESSION, "a list", ADDRESS) == (oldest,)
    assert newest == f"{ring.ids[0]}.{ring.hash(Purpose.SUPPRESSION, 'a list', ADDRESS)}"
    assert oldest == f"{ring.ids[1]}.{ring.hash(Purpose.SUPPRESSION, 'a list', ADDRESS, key=ring.ids[1])}"


def test_a_key_that_is_gone_raises() -> None:
    """A campaign whose key is not in the ring any more is told, instead of hashed by another one: it would be sent twice."""
    gone = KeyRing([OLD]).ids[0]

    with pytest.raises(KeyError, match=gone):
        KeyRing([NEW]).hash(Purpose.ROW, ADDRESS, key=gone)

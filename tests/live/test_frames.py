import contextlib
import itertools
import os
import tracemalloc
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Close as TheirClose
from websockets.frames import Frame as Theirs
from websockets.frames import Opcode

from server.live import frames
from server.live.frames import LARGEST_CONTROL, MAX_FRAMES, Broken, FrameParser, Message, Op

LARGEST = 300


def sent(op: int, data: bytes = b"", *, fin: bool = True, mask: bool = True) -> bytes:
    """A frame as websockets' client writes it."""
    return Theirs(Opcode(op), data, fin).serialize(mask=mask)


def read(*chunks: bytes, largest: int = LARGEST) -> list[Message]:
    parser = FrameParser(largest)
    return [message for chunk in chunks for message in parser.parse(chunk)]


def code(*chunks: bytes) -> int:
    with pytest.raises(Broken) as caught:
        read(*chunks)
    return caught.value.code


def chunks_of(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    """The data in pieces of these sizes, over and over."""
    at = 0
    for size in itertools.cycle(cuts):
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size


MESSAGES = st.lists(
    st.one_of(
        st.tuples(st.just(Op.TEXT), st.text(max_size=40).map(str.encode)),
        st.tuples(st.just(Op.BINARY), st.binary(max_size=LARGEST)),
        st.tuples(st.just(Op.PING), st.binary(max_size=125)),
        st.tuples(st.just(Op.PONG), st.binary(max_size=125)),
    ),
    max_size=6,
)


@given(MESSAGES, st.lists(st.integers(1, 60), min_size=1))
def test_any_cut_reads_the_same(messages: Sequence[tuple[Op, bytes]], cuts: Sequence[int]) -> None:
    """However the bytes are cut on their way, what is read is what was sent, and then nothing is kept."""
    data = b"".join(sent(op, payload) for op, payload in messages)
    parser = FrameParser(LARGEST)

    found = [message for chunk in chunks_of(data, cuts) for message in parser.parse(chunk)]

    assert [Message(op, payload) for op, payload in messages] == found
    assert parser.idle


def test_fragments_are_one_message() -> None:
    """A message in several frames is one message, and control frames may come between them (section 5.4)."""
    found = read(
        sent(Op.TEXT, b"On", fin=False) + sent(Op.PING, b"?"),
        sent(Op.CONT, b"ly ", fin=False),
        sent(Op.CONT, b"3 left"),
    )

    assert [Message(Op.PING, b"?"), Message(Op.TEXT, b"Only 3 left")] == found


def test_nothing_follows_a_close() -> None:
    """After a close frame nothing is read, in the same packet or later (section 5.5.1)."""
    parser = FrameParser(LARGEST)

    found = [
        *parser.parse(sent(Op.CLOSE) + sent(Op.TEXT, b"x") + sent(Op.CLOSE) + b"\xff"),
        *parser.parse(sent(Op.TEXT, b"x")),
    ]

    assert [Message(Op.CLOSE, b"")] == found
    assert not parser.idle


def test_endless_message() -> None:
    """A message may have a hundred frames, not more: empty ones would never come to an end by its size."""
    start, part, end = sent(Op.TEXT, fin=False), sent(Op.CONT, fin=False), sent(Op.CONT, b"x")

    assert [Message(Op.TEXT, b"x")] * 2 == read((start + part * (MAX_FRAMES - 2) + end) * 2)
    assert 1008 == code(start + part * MAX_FRAMES)


@pytest.mark.parametrize("size", [0, 1, 200])
def test_small_fragments_weigh_what_they_hold(size: int) -> None:
    """A message in any number of frames weighs no more than its bytes, so nothing if they are empty."""
    parser = FrameParser(20_000)
    frame = sent(Op.CONT, b"x" * size, fin=False)
    list(parser.parse(sent(Op.TEXT, fin=False)))
    tracemalloc.start()

    for _ in range(MAX_FRAMES - 2):
        list(parser.parse(frame))
    weight, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert weight < (MAX_FRAMES - 2) * size * 1.2 + 5_000
    assert [Message(Op.TEXT, b"x" * (MAX_FRAMES - 2) * size)] == list(parser.parse(sent(Op.CONT)))


def test_letters_may_be_cut() -> None:
    """A letter of several bytes may be cut between two frames (section 5.6)."""
    euro = "€".encode()

    assert [Message(Op.TEXT, euro)] == read(sent(Op.TEXT, euro[:1], fin=False), sent(Op.CONT, euro[1:]))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xc1\x80\0\0\0\0", 1002),
        (b"\xa1\x80\0\0\0\0", 1002),
        (b"\x91\x80\0\0\0\0", 1002),
        (b"\x83\x80\0\0\0\0", 1002),
        (b"\x8b\x80\0\0\0\0", 1002),
        (sent(Op.TEXT, b"x", mask=False), 1002),
        (b"\x89\xfe\x00\x7e\0\0\0\0", 1002),
        (b"\x09\x80\0\0\0\0", 1002),
        (b"\x08\x80\0\0\0\0", 1002),
        (sent(Op.CONT, b"x"), 1002),
        (sent(Op.TEXT, b"x", fin=False) + sent(Op.TEXT, b"x"), 1002),
        (sent(Op.TEXT, b"x", fin=False) + sent(Op.BINARY, b"x"), 1002),
        (sent(Op.TEXT, b"\xff\xfe"), 1007),
        (sent(Op.TEXT, b"\xc3"), 1007),
        (sent(Op.TEXT, b"\xc3", fin=False) + sent(Op.CONT, b"x"), 1007),
        (sent(Op.TEXT, b"\xed\xa0\x80"), 1007),
        (sent(Op.BINARY, b"x" * (LARGEST + 1)), 1009),
        (sent(Op.BINARY, b"x" * LARGEST, fin=False) + sent(Op.CONT, b"x"), 1009),
        (b"\x82\xff" + (1 << 40).to_bytes(8, "big") + b"\0\0\0\0", 1009),
        (b"\x82\xff" + b"\xff" * 8 + b"\0\0\0\0", 1009),
    ],
    ids=[
        "rsv1", "rsv2", "rsv3", "opcode 3", "opcode 11", "unmasked", "long ping", "ping in parts", "close in parts",
        "nothing to continue", "text in a text", "binary in a text", "not UTF-8", "half a letter",
        "half a letter goes on", "a surrogate", "too large", "too large in parts", "a terabyte", "beyond 63 bits",
    ],
)  # fmt: skip
def test_broken(data: bytes, expected: int) -> None:
    """Each way to break the protocol has its close code, and size is judged before the bytes have come."""
    assert expected == code(data)


def test_what_came_before_counts() -> None:
    """What came before a broken frame in the same bytes is read, then the fault is told."""
    messages = FrameParser(LARGEST).parse(sent(Op.PING, b"1") + b"\xff\xff")

    assert Message(Op.PING, b"1") == next(messages)
    with pytest.raises(Broken):
        next(messages)


def test_deaf_after_broken() -> None:
    """After a fault nothing is read any more, as nobody knows where a frame begins."""
    parser = FrameParser(LARGEST)

    parser.stop()

    assert [] == list(parser.parse(sent(Op.TEXT, b"x")))
    assert not parser.idle


MOST_HELD = LARGEST + 6 + LARGEST_CONTROL
"""Bytes: the parts of a message, and of a control frame between them all but its end; a data frame's head is less."""
STREAMS = st.lists(
    st.one_of(
        st.builds(
            lambda op, size, fin: sent(op, b"x" * size, fin=fin),
            st.sampled_from([Op.TEXT, Op.BINARY, Op.CONT]),
            st.integers(0, 2 * LARGEST),
            st.booleans(),
        ),
        st.builds(lambda size: sent(Op.PING, b"x" * size), st.integers(0, LARGEST_CONTROL)),
        st.binary(max_size=20),
    ),
    max_size=6,
).map(b"".join)
UNFINISHED = sent(Op.TEXT, b"x" * LARGEST, fin=False)


@given(STREAMS, st.lists(st.integers(1, 2 * LARGEST), min_size=1))
@example(UNFINISHED + sent(Op.PING, b"x" * LARGEST_CONTROL)[:-1], [1])
@example(b"\x82\xfe" + (LARGEST + 1).to_bytes(2, "big") + bytes(4 + LARGEST), [1])
@example(UNFINISHED + b"\x80\xfe" + LARGEST.to_bytes(2, "big") + bytes(4 + LARGEST), [1])
@example(UNFINISHED + b"\x89\xfe" + LARGEST.to_bytes(2, "big") + bytes(3 + LARGEST), [1])
def test_noise_is_broken_or_unfinished(noise: bytes, cuts: Sequence[int]) -> None:
    """Whatever bytes come, a parser yields messages or says Broken, and holds no more than one message and a control frame."""
    parser = FrameParser(LARGEST)
    with contextlib.suppress(Broken):
        for chunk in chunks_of(noise, cuts):
            for message in parser.parse(chunk):
                assert len(message.data) <= LARGEST
            assert len(parser._message) + len(parser._rest) < MOST_HELD


def test_most_held() -> None:
    """The most that a parser holds is a message without its end, and of a control frame in it all but the last byte."""
    parser = FrameParser(LARGEST)

    assert [] == list(parser.parse(UNFINISHED + sent(Op.PING, b"x" * LARGEST_CONTROL)[:-1]))

    assert MOST_HELD - 1 == len(parser._message) + len(parser._rest)


@pytest.mark.parametrize("number", [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 4999])
def test_close_code(number: int) -> None:
    """A close frame's code is read, with its reason checked; one without a code is a normal end."""
    assert number == frames.close_code(TheirClose(number, "bye ✓").serialize())
    assert 1000 == frames.close_code(b"")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x03", 1002),
        *((number.to_bytes(2, "big"), 1002) for number in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)),
        (b"\x03\xe8\xff", 1007),
    ],
)
def test_forbidden_close(data: bytes, expected: int) -> None:
    """Codes that may not be sent, half a code, and a reason that is not UTF-8 are broken (section 7.4)."""
    with pytest.raises(Broken) as caught:
        frames.close_code(data)

    assert expected == caught.value.code


@given(st.sampled_from([Op.PING, Op.PONG]), st.binary(max_size=125))
def test_control(op: Op, data: bytes) -> None:
    """A control frame of ours is what websockets' server would write."""
    assert Theirs(Opcode(op), data).serialize(mask=False) == frames.control(op, data)


@given(st.integers(1000, 4999), st.text(max_size=200))
def test_close(number: int, reason: str) -> None:
    """A close frame of ours fits into a control frame whatever the reason, which is cut between two letters."""
    found = frames.close(number, reason)

    assert number == int.from_bytes(found[2:4], "big")
    assert found[1] == len(found) - 2 <= 125
    assert reason.encode(errors="surrogatepass").startswith(found[4:])
    found[4:].decode()


def test_masks_are_undone() -> None:
    """The payload is unmasked with the frame's own key."""
    data = os.urandom(200)

    assert [Message(Op.BINARY, data)] == read(sent(Op.BINARY, data))

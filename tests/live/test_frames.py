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


def client_frame(op: int, data: bytes = b"", *, fin: bool = True, mask: bool = True) -> bytes:
    """A frame as the client of the websockets package writes it."""
    return Theirs(Opcode(op), data, fin).serialize(mask=mask)


def messages_of(*chunks: bytes, largest: int = LARGEST) -> list[Message]:
    parser = FrameParser(largest)
    return [message for chunk in chunks for message in parser.parse(chunk)]


def broken_code(*chunks: bytes) -> int:
    with pytest.raises(Broken) as caught:
        messages_of(*chunks)
    return caught.value.code


def chunks_of(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    """The data in pieces of these sizes, repeated until it ends."""
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
def test_chunk_boundaries_do_not_matter(messages: Sequence[tuple[Op, bytes]], cuts: Sequence[int]) -> None:
    """However the bytes are split into chunks, what was sent is read, and then nothing is kept."""
    data = b"".join(client_frame(op, payload) for op, payload in messages)
    parser = FrameParser(LARGEST)

    found = [message for chunk in chunks_of(data, cuts) for message in parser.parse(chunk)]

    assert [Message(op, payload) for op, payload in messages] == found
    assert parser.idle


def test_fragments_are_one_message() -> None:
    """A message in several frames is one message, and control frames may come between them (section 5.4)."""
    found = messages_of(
        client_frame(Op.TEXT, b"On", fin=False) + client_frame(Op.PING, b"?"),
        client_frame(Op.CONT, b"ly ", fin=False),
        client_frame(Op.CONT, b"3 left"),
    )

    assert [Message(Op.PING, b"?"), Message(Op.TEXT, b"Only 3 left")] == found


def test_nothing_is_read_after_a_close() -> None:
    """After a close frame nothing is read, in the same packet or later (section 5.5.1)."""
    parser = FrameParser(LARGEST)

    found = [
        *parser.parse(client_frame(Op.CLOSE) + client_frame(Op.TEXT, b"x") + client_frame(Op.CLOSE) + b"\xff"),
        *parser.parse(client_frame(Op.TEXT, b"x")),
    ]

    assert [Message(Op.CLOSE, b"")] == found
    assert not parser.idle


def test_frames_of_a_message_are_limited() -> None:
    """A message may have a hundred frames, not more: empty ones would never reach the size limit."""
    start, part, end = client_frame(Op.TEXT, fin=False), client_frame(Op.CONT, fin=False), client_frame(Op.CONT, b"x")

    assert [Message(Op.TEXT, b"x")] * 2 == messages_of((start + part * (MAX_FRAMES - 2) + end) * 2)
    assert 1008 == broken_code(start + part * MAX_FRAMES)


@pytest.mark.parametrize("size", [0, 1, 200])
def test_memory_of_small_fragments(size: int) -> None:
    """A message in any number of frames takes no more memory than its bytes, so none if they are empty."""
    parser = FrameParser(20_000)
    frame = client_frame(Op.CONT, b"x" * size, fin=False)
    list(parser.parse(client_frame(Op.TEXT, fin=False)))
    tracemalloc.start()

    for _ in range(MAX_FRAMES - 2):
        list(parser.parse(frame))
    weight, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert weight < (MAX_FRAMES - 2) * size * 1.2 + 5_000
    assert [Message(Op.TEXT, b"x" * (MAX_FRAMES - 2) * size)] == list(parser.parse(client_frame(Op.CONT)))


def test_character_split_between_two_frames() -> None:
    """A character of several bytes may be split between two frames (section 5.6)."""
    euro = "€".encode()

    assert [Message(Op.TEXT, euro)] == messages_of(
        client_frame(Op.TEXT, euro[:1], fin=False), client_frame(Op.CONT, euro[1:])
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xc1\x80\0\0\0\0", 1002),
        (b"\xa1\x80\0\0\0\0", 1002),
        (b"\x91\x80\0\0\0\0", 1002),
        (b"\x83\x80\0\0\0\0", 1002),
        (b"\x8b\x80\0\0\0\0", 1002),
        (client_frame(Op.TEXT, b"x", mask=False), 1002),
        (b"\x89\xfe\x00\x7e\0\0\0\0", 1002),
        (b"\x09\x80\0\0\0\0", 1002),
        (b"\x08\x80\0\0\0\0", 1002),
        (client_frame(Op.CONT, b"x"), 1002),
        (client_frame(Op.TEXT, b"x", fin=False) + client_frame(Op.TEXT, b"x"), 1002),
        (client_frame(Op.TEXT, b"x", fin=False) + client_frame(Op.BINARY, b"x"), 1002),
        (client_frame(Op.TEXT, b"\xff\xfe"), 1007),
        (client_frame(Op.TEXT, b"\xc3"), 1007),
        (client_frame(Op.TEXT, b"\xc3", fin=False) + client_frame(Op.CONT, b"x"), 1007),
        (client_frame(Op.TEXT, b"\xed\xa0\x80"), 1007),
        (client_frame(Op.BINARY, b"x" * (LARGEST + 1)), 1009),
        (client_frame(Op.BINARY, b"x" * LARGEST, fin=False) + client_frame(Op.CONT, b"x"), 1009),
        (b"\x82\xff" + (1 << 40).to_bytes(8, "big") + b"\0\0\0\0", 1009),
        (b"\x82\xff" + b"\xff" * 8 + b"\0\0\0\0", 1009),
    ],
    ids=[
        "rsv1", "rsv2", "rsv3", "opcode 3", "opcode 11", "unmasked", "long ping", "ping in parts", "close in parts",
        "nothing to continue", "text in a text", "binary in a text", "not UTF-8", "half a letter",
        "half a letter goes on", "a surrogate", "too large", "too large in parts", "a terabyte", "beyond 63 bits",
    ],
)  # fmt: skip
def test_protocol_errors_have_close_codes(data: bytes, expected: int) -> None:
    """Each protocol error has its close code, and the size is checked before the bytes have arrived."""
    assert expected == broken_code(data)


def test_messages_before_an_error_are_read() -> None:
    """A message before a broken frame in the same bytes is read, then the error is raised."""
    messages = FrameParser(LARGEST).parse(client_frame(Op.PING, b"1") + b"\xff\xff")

    assert Message(Op.PING, b"1") == next(messages)
    with pytest.raises(Broken):
        next(messages)


def test_nothing_is_read_after_an_error() -> None:
    """After an error nothing is read any more, as it is not known where a frame begins."""
    parser = FrameParser(LARGEST)

    parser.stop()

    assert [] == list(parser.parse(client_frame(Op.TEXT, b"x")))
    assert not parser.idle


MOST_HELD = LARGEST + 6 + LARGEST_CONTROL
"""Bytes: a message without its end, and a control frame in it without its last byte; a data frame's head is smaller."""
STREAMS = st.lists(
    st.one_of(
        st.builds(
            lambda op, size, fin: client_frame(op, b"x" * size, fin=fin),
            st.sampled_from([Op.TEXT, Op.BINARY, Op.CONT]),
            st.integers(0, 2 * LARGEST),
            st.booleans(),
        ),
        st.builds(lambda size: client_frame(Op.PING, b"x" * size), st.integers(0, LARGEST_CONTROL)),
        st.binary(max_size=20),
    ),
    max_size=6,
).map(b"".join)
UNFINISHED = client_frame(Op.TEXT, b"x" * LARGEST, fin=False)


@given(STREAMS, st.lists(st.integers(1, 2 * LARGEST), min_size=1))
@example(UNFINISHED + client_frame(Op.PING, b"x" * LARGEST_CONTROL)[:-1], [1])
@example(b"\x82\xfe" + (LARGEST + 1).to_bytes(2, "big") + bytes(4 + LARGEST), [1])
@example(UNFINISHED + b"\x80\xfe" + LARGEST.to_bytes(2, "big") + bytes(4 + LARGEST), [1])
@example(UNFINISHED + b"\x89\xfe" + LARGEST.to_bytes(2, "big") + bytes(3 + LARGEST), [1])
def test_random_bytes_are_messages_or_an_error(noise: bytes, cuts: Sequence[int]) -> None:
    """Any bytes yield messages or Broken, and a parser holds at most one message and a control frame."""
    parser = FrameParser(LARGEST)
    with contextlib.suppress(Broken):
        for chunk in chunks_of(noise, cuts):
            for message in parser.parse(chunk):
                assert len(message.data) <= LARGEST
            assert len(parser._message) + len(parser._rest) < MOST_HELD


def test_most_that_a_parser_holds() -> None:
    """A parser holds at most a message without its end, and all but the last byte of a control frame in it."""
    parser = FrameParser(LARGEST)

    assert [] == list(parser.parse(UNFINISHED + client_frame(Op.PING, b"x" * LARGEST_CONTROL)[:-1]))

    assert MOST_HELD - 1 == len(parser._message) + len(parser._rest)


@pytest.mark.parametrize("number", [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 4999])
def test_close_code_is_read(number: int) -> None:
    """A close frame's code is read, and its reason is checked; one without a code is a normal end."""
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
def test_forbidden_close_codes_are_broken(data: bytes, expected: int) -> None:
    """Codes that may not be sent, half a code, and a reason that is not UTF-8 are broken (section 7.4)."""
    with pytest.raises(Broken) as caught:
        frames.close_code(data)

    assert expected == caught.value.code


@given(st.sampled_from([Op.PING, Op.PONG]), st.binary(max_size=125))
def test_control_frame_is_written_as_websockets_does(op: Op, data: bytes) -> None:
    """A control frame has the bytes that the server of the websockets package would write."""
    assert Theirs(Opcode(op), data).serialize(mask=False) == frames.control(op, data)


@given(st.integers(1000, 4999), st.text(max_size=200))
def test_long_close_reason_is_cut(number: int, reason: str) -> None:
    """A close frame fits into a control frame whatever its reason, which is cut between two characters."""
    found = frames.close(number, reason)

    assert number == int.from_bytes(found[2:4], "big")
    assert found[1] == len(found) - 2 <= 125
    assert reason.encode(errors="surrogatepass").startswith(found[4:])
    found[4:].decode()


def test_payload_is_unmasked() -> None:
    """The payload is unmasked with the frame's own key."""
    data = os.urandom(200)

    assert [Message(Op.BINARY, data)] == messages_of(client_frame(Op.BINARY, data))

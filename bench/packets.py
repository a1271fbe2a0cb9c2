"""The bytes that publishers and viewers send to each kind of server: Redis, HTTP, MQTT, msgpack, WebSocket frames.

In: a ticket, a payload. Out: bytes in which PLACEHOLDER stands for a number of the same length, so that encoded lengths
stay right.
"""

from bench.viewers import PLACEHOLDER
from server import wire
from server.counter import Counter, Rules, State
from server.model import EventId, Price, Sale, TicketId

SITE = "5f0e4d3c-1111-4111-8111-00000000b001"
GROUP = "counters"
"""The Channels group of all viewers of that peer."""

KEEP = """
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'version', ARGV[1], 'counter', ARGV[2], 'rules', ARGV[3], 'pace', 'live',
  'read_at', t[1] * 1000000 + t[2])
redis.call('PUBLISH', KEYS[2], ARGV[2])
"""
"""The part of keep.lua that viewers see: this benchmark measures delivery."""

MQTT_CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"
"""MQTT 3.1.1: a clean session, no keep-alive, a client id chosen by the broker."""

MQTT_SUBSCRIBE = b"\x82\x0c\x00\x01\x00\x07bench/#\x00"
"""Packet 1: all topics below `bench/`, QoS 0 (at most once)."""


def message(ticket: str) -> str:
    """The counter that every server sends, in ticket-counter's format, with PLACEHOLDER for its version."""
    counter = Counter(
        TicketId(ticket),
        EventId(SITE),
        State.LOW,
        3,
        (Price("25.00", "USD"),),
        name="General admission",
        sale=Sale(None, "2027-06-01T18:00:00Z", "Europe/Berlin"),
    )
    return f'{{"v":{PLACEHOLDER},{wire.counter_body(counter)}'


def redis_command(*words: str | bytes) -> bytes:
    """A command in Redis's protocol."""
    plain = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(plain) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in plain)


def channel(ticket: str) -> str:
    """The Redis channel of a ticket, for all servers except ticket-counter."""
    return f"bench:{ticket}"


def redis_publish(ticket: str) -> bytes:
    """A PUBLISH to Redis, for servers that subscribe to it."""
    return redis_command("PUBLISH", channel(ticket), message(ticket))


def our_keep(ticket: str) -> bytes:
    """Store a counter and publish it, as ticket-counter's worker does."""
    keys = f"tc:{{{SITE}}}:ticket:{ticket}", f"tc:{{{SITE}}}:live:{ticket}"
    return redis_command("EVAL", KEEP, "2", *keys, PLACEHOLDER, message(ticket), Rules().hash)


def http_post(ticket: str) -> bytes:
    """An HTTP request to Nchan's publisher location."""
    body = message(ticket).encode()
    return b"POST /pub HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def mqtt_publish(ticket: str) -> bytes:
    """An MQTT message with QoS 0 (at most once)."""
    topic, body = f"bench/{ticket}".encode(), message(ticket).encode()
    left = 2 + len(topic) + len(body)
    size = bytes([left]) if left < 128 else bytes([left & 127 | 128, left >> 7])
    return b"\x30" + size + len(topic).to_bytes(2) + topic + body


def socketio_emit(ticket: str) -> bytes:
    """What socket.io's Redis emitter publishes to a namespace's adapters, as JSON, which the adapter here expects."""
    packet = f'{{"type":2,"nsp":"/","data":["counter",{message(ticket)}]}}'
    return redis_command("PUBLISH", "socket.io#/#", f'["emitter",{packet},{{"rooms":[],"flags":{{}},"except":[]}}]')


def channels_send(ticket: str) -> bytes:
    """What `group_send` of Channels' Redis pub/sub layer publishes: a dict of two texts in msgpack."""
    text = message(ticket).encode()
    packed = b"\x82\xa4type\xa7counter\xa4text\xda" + len(text).to_bytes(2) + text
    return redis_command("PUBLISH", f"asgi__group__{GROUP}", packed)


def frame(opcode: int, payload: bytes) -> bytes:
    """A client's WebSocket frame of less than 126 bytes, masked with zeros."""
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload

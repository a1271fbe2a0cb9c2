"""What accepting a webhook costs, compared with PyJWT's decode of the same tokens alone, and with plain Starlette.

In: one of SERVERS. Out: its figures of one round. Servers and the decode run on core 0, Redis and bench/post.c on core
1. The measure is CPU seconds of the process that accepts the webhooks.
"""

import functools
import json
import random
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.packets import SITE
from bench.scenarios import Figure, Setup
from bench.servers import ROOT, TICKETS, Redis, cpu_seconds, end, free_port, launch, unlimited_settings
from bench.viewers import SERVER_CORE, VIEWER_CORE, compiled, pinned

HOT = TICKETS[0]
DISTINCT = 400
"""Different tokens in a run; every other order is for the same ticket, as when a sale starts."""
WARM_UP, COUNT = 1_000, 12_000
SERVERS = ("ours", "decode", "starlette")
TITLES = {"decode": "PyJWT's decode alone", "starlette": "plain Starlette, one Redis call each"}

FIGURES = {
    "webhooks": Figure("webhooks per CPU second"),
    "webhooks_wall": Figure("webhooks per second of wall-clock time"),
    "half_p50": Figure("p50 latency in ms at half that rate", less_is_better=True),
    "half_p99": Figure("p99 latency in ms at half that rate", less_is_better=True),
    "token": Figure("bytes per token"),
}


@dataclass(frozen=True, slots=True)
class Tokens:
    """Signed webhooks: the file `bodies` has one per line, `key` is the file of the public key in PEM."""

    bodies: Path
    key: Path
    size: float

    @classmethod
    @functools.cache  # the same for all rounds and servers
    def sign(cls, folder: Path) -> "Tokens":
        """Write orders of 2 kB each, as Wix does: JSON in JSON in a JWT."""
        private = rsa.generate_private_key(65537, 2048)
        bodies = [_order(private, HOT if n % 2 else str(uuid.uuid4())) for n in range(DISTINCT)]
        tokens = cls(folder / "bodies", folder / "key.pem", statistics.fmean(map(len, bodies)))
        tokens.bodies.write_text("\n".join([*bodies, ""]))
        tokens.key.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return tokens


def intake(name: str, setup: Setup) -> dict[str, float]:
    """Post webhooks over as many connections as the setup has sockets; raises RuntimeError for any answer but 200."""
    tokens = Tokens.sign(setup.folder)
    if name == "decode":
        return {"webhooks": _decode(tokens), "token": tokens.size}
    program = compiled("post", setup.folder)
    with _serving(name, setup.folder, tokens) as (pid, port):

        def posted(count: int, rate: float = 0.0) -> Mapping[str, float]:
            result = post([str(program), str(port), str(tokens.bodies), str(setup.sockets), str(count), str(rate)])
            if result["good"] != count:
                raise RuntimeError(f"{count - result['good']} of {count} webhooks were not answered 200")
            return result

        posted(WARM_UP)
        cpu = cpu_seconds(pid)
        run = posted(COUNT)
        found = {"webhooks": COUNT / (cpu_seconds(pid) - cpu), "webhooks_wall": COUNT / run["seconds"]}
        half = posted(COUNT // 2, found["webhooks_wall"] / 2)
        return {
            **found,
            "half_p50": half["p50_ms"],
            "half_p99": half["p99_ms"],
            "busy": run["cpu"] / run["seconds"],
            "token": tokens.size,
        }


def _decode(tokens: Tokens) -> float:
    command = [sys.executable, "-m", "bench.peers.pyjwt_decode", str(tokens.bodies), str(tokens.key), str(COUNT)]
    done = subprocess.run(pinned(SERVER_CORE, *command), cwd=ROOT, check=True, capture_output=True)
    result = json.loads(done.stdout)
    return float(result["decoded"] / result["cpu"])


@contextmanager
def _serving(name: str, folder: Path, tokens: Tokens) -> Iterator[tuple[int, int]]:
    """Run one server with its own Redis during the block; yields its process id and port."""
    with ExitStack() as stack:
        redis = Redis.start(folder)
        stack.callback(redis.end)
        port = free_port()
        environment: dict[str, str] = {}
        if name == "ours":
            command = [sys.executable, "-m", "server.cli", "web"]
            environment = {
                **unlimited_settings(redis, port),
                "WIX_SITES": SITE,
                "WIX_PUBLIC_KEY": tokens.key.read_text(),
            }
        else:
            program = ROOT / "bench" / "peers" / "starlette_intake.py"
            command = [sys.executable, str(program), str(port), str(redis.port), str(tokens.key)]
        process = launch(name, folder, command, environment, port=port)
        stack.callback(end, process)
        yield process.pid, port


def post(command: list[str]) -> Mapping[str, float]:
    """Run bench/post.c: `seconds`, latencies in ms, and how many were answered 200 (`good`)."""
    done = subprocess.run(pinned(VIEWER_CORE, *command), check=True, capture_output=True)
    return dict(json.loads(done.stdout))


def _order(private: rsa.RSAPrivateKey, ticket: str) -> str:
    """A signed order of one ticket, without its form, so that its size is 2 kB."""
    person = {"firstName": "Ada", "lastName": "Example", "email": "ada@example.com"}
    number = f"2QXK-{random.randrange(10**8):08}"
    price = {"amount": "25.00", "currency": "USD", "value": "25.00"}
    order = {
        "timestamp": "2026-02-11T10:00:05.123Z",
        "language": "en",
        "eventId": "0b5f1a2e-4444-4444-8444-00000000e001",
        "orderNumber": number,
        "contactId": str(uuid.uuid4()),
        "created": "2026-02-11T09:58:40.000Z",
        "updated": "2026-02-11T10:00:05.000Z",
        **person,
        "status": "PAID",
        "method": "creditCard",
        "tickets": [
            {
                "ticketNumber": f"{number}1",
                "ticketDefinitionId": ticket,
                "price": price,
                **person,
                "confirmed": True,
                "ticketName": "General admission",
                "canceled": False,
            }
        ],
        "reservationId": str(uuid.uuid4()),
    }
    envelope = {
        "data": _text(order),
        "instanceId": SITE,
        "eventType": "wix.events.ticketing.events.OrderConfirmed",
        "identity": _text({"identityType": "ANONYMOUS_VISITOR", "anonymousVisitorId": str(uuid.uuid4())}),
    }
    issued = int(time.time())
    claims = {"data": _text(envelope), "iat": issued, "exp": issued + 3600}
    return jwt.encode(claims, private, "RS256", headers={"kid": "fict1ona"})


def _text(value: Mapping[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))

"""The servers of a run, each on one core, and what is measured of them: CPU seconds, private bytes.

In: a name. Out: a running Server; the channel or key that its publishes go to is its own business (`templates`).
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.viewers import NUMBER, built
from server import valkey, wire
from server.model import Counter, EventId, Price, Rules, Sale, State, TicketId

ROOT = Path(__file__).parent.parent
CORE = "0"
MODULES = Path("/usr/lib/nginx/modules")
SITE = "5f0e4d3c-1111-4111-8111-00000000b001"
TICKETS = tuple(f"11111111-aaaa-4aaa-8aaa-{number:012}" for number in range(8))
PATH = "/v1/counters?" + "&".join(f"ticket={ticket}" for ticket in TICKETS)

KEEP = """
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'version', ARGV[1], 'counter', ARGV[2], 'rules', ARGV[3], 'pace', 'live',
  'read_at', t[1] * 1000000 + t[2])
redis.call('PUBLISH', KEYS[2], ARGV[2])
"""
"""What keep.lua does to what viewers see, without the rest: the bench measures delivery."""

NGINX = """
load_module {modules}/ngx_nchan_module.so;
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.err;
worker_rlimit_nofile 100000;
events {{ worker_connections 50000; }}
http {{
  access_log off; nchan_max_reserved_memory 64M;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /pub {{ nchan_publisher; nchan_channel_id bench; nchan_message_buffer_length 1; keepalive_requests 1000000000; }}
    location = /v1/counters {{ nchan_subscriber websocket; nchan_channel_id bench; }}
  }}
}}
"""


def message(ticket: str) -> str:
    """The counter that every server sends: as ours has it, with a place for the number."""
    counter = Counter(
        TicketId(ticket),
        EventId(SITE),
        State.LOW,
        3,
        (Price("25.00", "USD"),),
        name="General admission",
        sale=Sale(None, "2027-06-01T18:00:00Z", "Europe/Berlin"),
    )
    return f'{{"v":{NUMBER},{wire.counter_body(counter)}'


def resp(*words: str) -> bytes:
    """A command in Redis's protocol."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word.encode()), word.encode()) for word in words)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as tried:
        return int(tried.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Redis:
    """The Redis of a run, on the viewers' core: it is not what is measured."""

    process: subprocess.Popen[bytes]
    port: int

    @classmethod
    def start(cls, folder: Path) -> "Redis":
        """Start an empty one."""
        port = free_port()
        data = folder / f"redis-{port}"
        data.mkdir()
        command = [str(valkey.binary()), str(valkey.CONF), "--port", str(port), "--dir", str(data)]
        process = subprocess.Popen(["taskset", "-c", "1", *command], stdout=subprocess.DEVNULL)
        wait_for(port)
        return cls(process, port)


class Server:
    """One server that runs."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], port: int, publish: int, ask: list[bytes]) -> None:
        self.name = name
        self.process = process
        self.port = port
        self.publish_port = publish
        self.templates = ask
        pid = process.pid
        # A master that only waits is not what serves.
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self.pid = int(workers[0]) if name == "nchan" and workers else pid

    @property
    def cpu(self) -> float:
        """CPU seconds it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> int:
        """Bytes that are its own."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_Dirty"):
                return int(line.split()[1]) * 1024
        return 0

    def end(self) -> None:
        """Stop it."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(name: str, folder: Path, redis: Redis) -> Server:
    """Start a server by its name and wait until it listens."""
    port = free_port()
    channels = [f"bench:{ticket}" for ticket in TICKETS]
    asked = [resp("PUBLISH", channel, message(ticket)) for channel, ticket in zip(channels, TICKETS, strict=True)]
    environment, publish = dict(os.environ), redis.port
    match name:
        case "ours":
            command: Sequence[str] = [sys.executable, "-c", "from server.cli import main; main()", "web"]
            environment |= {
                "REDIS_URL": f"redis://127.0.0.1:{redis.port}/0",
                "WIX_SITES": SITE,
                "PORT": str(port),
                "MAX_CONNECTIONS": "100000",
                "MAX_CONNECTIONS_PER_ADDRESS": "100000",
                "LOG_LEVEL": "ERROR",
                "PYTHONPATH": str(ROOT),
            }
            keys = [(f"tc:{{{SITE}}}:ticket:{ticket}", f"tc:{{{SITE}}}:live:{ticket}") for ticket in TICKETS]
            asked = [
                resp("EVAL", KEEP, "2", *pair, NUMBER, message(ticket), Rules().hash)
                for pair, ticket in zip(keys, TICKETS, strict=True)
            ]
        case "limit":
            command = [str(built("limit", folder)), str(port), str(redis.port), *channels]
        case "nchan":
            conf = folder / "nginx.conf"
            conf.write_text(NGINX.format(folder=folder, port=port, modules=MODULES))
            command = ["nginx", "-p", str(folder), "-c", str(conf)]
            publish = port
            asked = [
                b"POST /pub HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)
                for text in (message(ticket).encode() for ticket in TICKETS)
            ]
        case _:
            command = [
                sys.executable,
                str(ROOT / "bench" / "peers" / f"{name}.py"),
                str(port),
                str(redis.port),
                *channels,
            ]
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            ["taskset", "-c", CORE, *command], cwd=folder, env=environment, stdout=log, stderr=log
        )
    wait_for(port)
    time.sleep(1.0 if name == "ours" else 0.3)  # until it has heard its own probe, or is subscribed
    return Server(name, process, port, publish, asked)


def installed(name: str) -> bool:
    """Whether a server can be started here."""
    if name != "nchan":
        return True
    return shutil.which("nginx") is not None and (MODULES / "ngx_nchan_module.so").exists()


def wait_for(port: int) -> None:
    """Wait until somebody listens; raises TimeoutError."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"nobody listens on port {port}")

"""A real master with a replica, and Sentinels that watch them: the same binary as any server of tests/rig/redis.py.

All functions here block.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.child import tied_to_parent
from tests.rig.redis import RedisServer, until

MASTER = "tickets"
DOWN_AFTER_MS = 500
"""Milliseconds without an answer after which a Sentinel counts the master as down."""


class SentinelServer(RedisServer):
    """One Sentinel, with a configuration file that it rewrites itself."""

    def configure(self, master: RedisServer, quorum: int, *more: str, port: int | None = None) -> None:
        """Write its file: the *master* that it watches, perhaps at another *port*, and *more* lines of sentinel.conf."""
        self.folder.mkdir(parents=True)
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"sentinel monitor {MASTER} 127.0.0.1 {port or master.port} {quorum}",
            f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {MASTER} 3000",
            *more,
        ]
        (self.folder / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def start(self, *, wait: bool = True) -> None:
        """Start the process."""
        assert self._process is None, "the Sentinel is already running"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                tied_to_parent([self.binary, str(self.folder / "sentinel.conf"), "--sentinel"]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if wait:
            self.ready()


class Watched:
    """A master, its replica, and the Sentinels."""

    def __init__(self, master: RedisServer, replica: RedisServer, sentinels: list[SentinelServer]) -> None:
        self.master = master
        self.replica = replica
        self.sentinels = sentinels

    @property
    def hosts(self) -> str:
        """The Sentinels, as in an address."""
        return ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)

    @property
    def url(self) -> str:
        """The address of the master."""
        return f"redis+sentinel://{self.hosts}/{MASTER}/0"

    def named(self, sentinel: SentinelServer | None = None) -> int:
        """The port of the master, as a Sentinel names it."""
        return int((sentinel or self.sentinels[0]).ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)[1])

    def well(self) -> bool:
        """Whether the replica is in sync, and each Sentinel knows it and all others."""
        up = self.replica.ask("INFO", "replication").get("master_link_status") == "up"
        states = [one.ask("SENTINEL", "MASTER", MASTER) for one in self.sentinels]
        return up and all(
            int(state["num-other-sentinels"]) == len(self.sentinels) - 1
            and int(state["num-slaves"]) == 1
            and state["flags"] == "master"
            for state in states
        )

    def failed_over(self) -> bool:
        """Whether every running Sentinel names the replica as the master."""
        return all(self.named(one) == self.replica.port for one in self.sentinels if one._process is not None)


@contextmanager
def watched(folder: Path, *, sentinels: int = 3, **config: str) -> Iterator[Watched]:
    """A master with a replica under so many Sentinels, healthy, as long as the block; *config* is that of both servers."""
    config = {"repl_diskless_sync_delay": "0", "repl_timeout": "5", **config}
    master = RedisServer(folder / "master", **config)
    replica = RedisServer(folder / "replica", **config, replicaof=f"127.0.0.1 {master.port}")
    watching = [SentinelServer(folder / f"sentinel-{number}") for number in range(sentinels)]
    found = Watched(master, replica, watching)
    try:
        for server in (master, replica):
            # Sentinels have the servers that they fail over rewrite their file.
            server.folder.mkdir(parents=True)
            server.conf = Path(shutil.copy(server.conf, server.folder / "redis.conf"))
            server.start()
        for one in watching:
            one.configure(master, sentinels // 2 + 1)
            one.start()
        until(found.well, lambda: f"no Sentinels:\n{watching[0].log[-1000:]}", 20)
        yield found
    finally:
        for server in (*watching, replica, master):
            server.kill()

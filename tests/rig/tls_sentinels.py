"""A master, its replica and Sentinels that speak TLS, to clients and to each other.

The Redis must be installed, as the embedded Valkey has no TLS. Tests inspect them over ports without TLS. All functions here block.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rig.certificates import Authority
from tests.rig.redis import RedisServer, free_port, until
from tests.rig.sentinels import MASTER, SentinelServer, Watched

SENTINELS = 3


class TlsWatched(Watched):
    """The same with TLS: *ports* are those with TLS, of each server; *authority* is that of their certificates."""

    def __init__(
        self,
        master: RedisServer,
        replica: RedisServer,
        sentinels: list[SentinelServer],
        ports: dict[RedisServer, int],
        authority: Authority,
    ) -> None:
        super().__init__(master, replica, sentinels)
        self.ports = ports
        self.authority = authority

    @property
    def hosts(self) -> str:
        """The Sentinels, as in an address."""
        return ",".join(f"127.0.0.1:{self.ports[one]}" for one in self.sentinels)

    @property
    def url(self) -> str:
        """The address of the master."""
        return f"rediss+sentinel://{self.hosts}/{MASTER}/0?ssl_ca_certs={self.authority.file}"

    def failed_over(self) -> bool:
        """Whether every Sentinel names the replica as the master."""
        return all(self.named(one) == self.ports[self.replica] for one in self.sentinels)


@contextmanager
def tls_watched(folder: Path) -> Iterator[TlsWatched]:
    """A master with a replica under Sentinels, healthy, as long as the block."""
    authority = Authority(folder / "ca")
    certificate = authority.sign("node")
    tls = {
        "tls_replication": "yes",
        "tls_cert_file": str(certificate.file),
        "tls_key_file": str(certificate.key_file),
        "tls_ca_cert_file": str(authority.file),
        "tls_auth_clients": "no",
    }
    master, replica = (RedisServer(folder / name, "redis-server") for name in ("master", "replica"))
    sentinels = [SentinelServer(folder / f"sentinel-{number}", "redis-server") for number in range(SENTINELS)]
    ports = {one: free_port() for one in (master, replica, *sentinels)}
    found = TlsWatched(master, replica, sentinels, ports, authority)
    try:
        for server in (master, replica):
            server.config = {
                **tls,
                "tls_port": str(ports[server]),
                "repl_diskless_sync_delay": "0",
                "repl_timeout": "5",
            }
            if server is replica:
                server.config |= {"replicaof": f"127.0.0.1 {ports[master]}"}
            # Sentinels have the servers that they fail over rewrite their file.
            server.folder.mkdir(parents=True)
            server.conf = Path(shutil.copy(server.conf, server.folder / "redis.conf"))
            server.start()
        for one in sentinels:
            lines = [f"{key.replace('_', '-')} {value}" for key, value in tls.items()]
            one.configure(master, SENTINELS // 2 + 1, f"tls-port {ports[one]}", *lines, port=ports[master])
            one.start()
        until(found.well, lambda: f"no Sentinels:\n{sentinels[0].log[-1000:]}", 20)
        yield found
    finally:
        for server in (*sentinels, replica, master):
            server.kill()

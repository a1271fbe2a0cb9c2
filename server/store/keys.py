"""The names of keys and channels in Redis."""

from dataclasses import dataclass
from urllib.parse import quote

from server.redis.namespace import Namespace


@dataclass(frozen=True, slots=True)
class Keys:
    """The names in one *namespace*: those that the table in store/__init__.py shows with the prefix `tc` in database 0."""

    namespace: Namespace

    @property
    def sites(self) -> str:
        """The set of all known sites."""
        return f"{self.namespace.keys}:sites"

    @property
    def refused_webhook(self) -> str:
        """The last webhook that was refused although it looked like Wix's."""
        return f"{self.namespace.keys}:refused_webhook"

    @property
    def untrusted_peers(self) -> str:
        """The peers outside of TRUSTED_PROXIES that sent X-Forwarded-For lately."""
        return f"{self.namespace.keys}:untrusted_peers"

    @property
    def worker(self) -> str:
        """What a worker last said of itself."""
        return f"{self.namespace.keys}:worker"

    def widget(self, wanted: str) -> str:
        """The widget's file with this hash."""
        return f"{self.namespace.keys}:widget:{wanted}"

    @property
    def wake(self) -> str:
        """The channel that names a site of which something is due now.

        It only saves time: workers poll every second anyway.
        """
        return f"{self.namespace.channels}:wake"

    def key(self, site: str, *parts: str) -> str:
        """A key of a site; the braces put all keys of a site into one slot of a cluster."""
        return ":".join((f"{self.namespace.keys}:{{{site}}}", *parts))

    def channel(self, site: str, ticket: str) -> str:
        """The public channel of a ticket's counter; in a cluster it is in the slot of the site's keys."""
        return f"{self.namespace.channels}:{{{site}}}:live:{ticket}"

    def event_channel(self, site: str, name: str) -> str:
        """The public channel of the tickets of an event, by its id or by its slug; all of a site begin as that of '' does."""
        return f"{self.namespace.channels}:{{{site}}}:tickets:{name}"

    @property
    def sync_memory(self) -> str:
        """What all of sync remembers."""
        return f"{self.namespace.keys}:sync"

    def sync(self, site: str, target: str, *parts: str) -> str:
        """A key of sync for one site and target."""
        return self.key(site, "sync", target, *parts)

    def target(self, target: str, *parts: str) -> str:
        """A key of a target of sync, whatever the site; the braces put all of a target into one slot of a cluster."""
        return ":".join((f"{self.namespace.keys}:{{sync:{target}}}", *parts))

    def notify(self, site: str, *parts: str) -> str:
        """A key of notify for one site."""
        return self.key(site, "notify", *parts)

    def server(self, server: str, *parts: str) -> str:
        """A key of a channel, or of a server that takes its messages; the colon of a port is written as %3A."""
        return ":".join((f"{self.namespace.keys}:{{notify:{quote(server, safe=' ')}}}", *parts))

    @property
    def servers(self) -> str:
        """The servers of which something is remembered."""
        return f"{self.namespace.keys}:notify:servers"

"""TRUSTED_PROXIES against what arrives: a proxy that is missing there makes all its visitors one address.

In: the setting, and the peers outside of it that sent X-Forwarded-For in the last hour, as web processes noted them. Out: findings. A
private address is a proxy's; a public network may also be that of visitors behind a proxy of their own, so it is no fault.
"""

from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_network

from server.doctor.ago import ago
from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.live.client_address import ClientAddresses
from server.settings import Settings
from server.store.untrusted_peers import UntrustedPeersStore

NAME = "proxies"


async def check(deployment: Deployment) -> AsyncIterator[Finding]:
    """Compare the two."""
    if deployment.redis is None:
        return
    settings = deployment.settings
    addresses = ClientAddresses(settings.trusted_proxies)
    noted = await UntrustedPeersStore(deployment.redis).read()
    missing = {peer: age for peer, age in noted.items() if not addresses.trusts(_address(peer))}
    proxies = {peer: age for peer, age in missing.items() if "/" not in peer}
    networks = {peer: age for peer, age in missing.items() if "/" in peer}
    if proxies:
        yield Finding.fault(NAME, _what(proxies), _why(settings), _cure(settings, proxies, "this is your proxy"))
    if networks:
        told = "these are networks that your CDN publishes as its own (if not, visitors have a proxy, and nothing is to be done)"
        yield Finding.notice(NAME, _what(networks), _why(settings), _cure(settings, networks, told))
    if missing:
        return
    if noted:
        what = f"TRUSTED_PROXIES has each peer that sent X-Forwarded-For in the last hour: {', '.join(sorted(noted))}"
        yield Finding.ok(NAME, f"{what}; web processes that have run since before it had them need a restart")
    else:
        yield Finding.ok(NAME, "no peer outside of TRUSTED_PROXIES sent X-Forwarded-For in the last hour")


def _address(peer: str) -> str:
    """An address of this peer, which may be a network."""
    return str(ip_network(peer, strict=False).network_address) if "/" in peer else peer


def _what(peers: Mapping[str, float]) -> str:
    told = ", ".join(f"{peer} ({ago(age)})" for peer, age in sorted(peers.items()))
    return f"X-Forwarded-For came from {told}, which TRUSTED_PROXIES does not have"


def _why(settings: Settings) -> str:
    return (
        "the header was ignored: all who come through such a proxy count as one address, and those beyond "
        f"MAX_CONNECTIONS_PER_ADDRESS={settings.max_connections_per_address} are turned away"
    )


def _cure(settings: Settings, peers: Mapping[str, float], condition: str) -> str:
    line = ",".join((*settings.trusted_proxies, *sorted(peers)))
    return f"if {condition}, set TRUSTED_PROXIES={line} and restart the web processes; if no proxy stands there, nothing is to be done"

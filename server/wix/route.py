"""The way to Wix's API: directly or through a proxy, and which certificate authorities are trusted on it.

In: HTTPS_PROXY and WIX_CA_FILE. Out: a transport for httpx. The proxy is used only for https addresses, as everywhere: a local Wix on
http is reached directly.
"""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from server import deadline


@dataclass(frozen=True, slots=True)
class Route:
    """*proxy*: the address of an HTTP proxy, perhaps with user and password; *ca_file*: a PEM file of more authorities to trust."""

    proxy: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    def transport(self, url: str, limits: httpx.Limits) -> httpx.AsyncHTTPTransport:
        """The transport of a client that calls this address."""
        proxy = httpx.Proxy(self.proxy) if self.proxy and self._is_used(url) else None
        return deadline.transport(limits, self._trusted(), proxy=proxy)

    def proxy_host(self, url: str) -> str | None:
        """The host and port of the proxy on the way to this address, None where it is called directly."""
        return httpx.URL(self.proxy).netloc.decode() if self.proxy and self._is_used(url) else None

    @staticmethod
    def _is_used(url: str) -> bool:
        return httpx.URL(url).scheme == "https"

    def _trusted(self) -> ssl.SSLContext:
        context = httpx.create_ssl_context(trust_env=False)
        if self.ca_file is not None:
            context.load_verify_locations(self.ca_file)
        return context

"""A client of Wix as the settings say: address, credentials, and the way there.

It is not in wix_settings.py, so that a process that only checks its settings needs no HTTP client.
"""

from server.wix.client import Wix
from server.wix.route import Route
from server.wix_settings import WixSettings


def open_wix(settings: WixSettings) -> Wix:
    """The client; raises NotStarted with the names of the missing settings."""
    proxy = settings.https_proxy.get_secret_value() if settings.https_proxy else None
    return Wix(settings.credentials(), settings.wix_api_url, route=Route(proxy, settings.wix_ca_file))

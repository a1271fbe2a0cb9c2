"""Settings that can be used, and are probably not what was meant.

In: the settings, the misspelt variables, the lines of `.env` that set nothing. Out: for each what stands there, why it matters, what to do. `serve`, `web` and `worker`
log it at the start, `check` and `doctor` show it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from server.addresses import is_loopback, literal
from server.env_file import names_given_twice, unread_lines
from server.setting_names import Misspelt
from server.settings import ENV_FILE, Settings, misspelt


class Advice(NamedTuple):
    """`event` is its name in the log; `setting` is the one to change."""

    event: str
    setting: str
    what: str
    why: str
    cure: str


def all_advice(settings: Settings) -> Iterator[Advice]:
    """What should be changed of these settings, or is worth another look, in the environment and `.env` of this process."""
    return advice(settings, misspelt(), unread_lines(ENV_FILE), names_given_twice(ENV_FILE))


def advice(
    settings: Settings,
    misspelt: Iterable[Misspelt] = (),
    unread_lines: Sequence[int] = (),
    given_twice: Iterable[str] = (),
) -> Iterator[Advice]:
    """The same, with what is wrong with names and lines."""
    if unread_lines:
        numbers = ", ".join(map(str, unread_lines))
        yield Advice(
            "env_file_not_understood",
            ".env",
            f"{'line' if len(unread_lines) == 1 else 'lines'} {numbers} of the file .env cannot be read",
            "nothing is set by them",
            "write each setting as NAME=value; a value with blanks or several lines is in quotes",
        )
    for name in given_twice:
        yield Advice(
            "setting_given_twice",
            name,
            f"{name} stands in the file .env twice, with two values",
            "the last one counts",
            "remove the wrong line",
        )
    for name, setting in misspelt:
        yield Advice(
            "unknown_setting",
            name,
            f"{name} is no setting",
            "it has no effect",
            f"rename it to {setting}, or remove it",
        )
    yield from _public_url(settings)


def _public_url(settings: Settings) -> Iterator[Advice]:
    if settings.public_url is None:
        return
    parts = urlsplit(settings.public_url)
    host, path = parts.hostname or "", parts.path.rstrip("/")
    if host == "localhost" or ((address := literal(host)) is not None and is_loopback(address)):
        return
    if parts.scheme == "http":
        yield Advice(
            "public_url_without_tls",
            "PUBLIC_URL",
            f"PUBLIC_URL={settings.public_url} is not https",
            "pages of Wix are https, and a browser loads neither the widget nor counters over http into them",
            "put a proxy with a certificate in front, and set PUBLIC_URL to its https address",
        )
    if path and path != settings.root_path:
        # With a ROOT_PATH behind that path, our pages are at both together (Settings.pages_url).
        what = f"ROOT_PATH is {settings.root_path}" if settings.root_path else "ROOT_PATH is not set"
        if not settings.root_path or not path.endswith(settings.root_path):
            yield Advice(
                "public_url_with_other_path",
                "ROOT_PATH",
                f"PUBLIC_URL has the path {path}, and {what}",
                "our pages name the widget and the counters by ROOT_PATH, and would look for them elsewhere",
                f"set ROOT_PATH={path}, or remove the path from PUBLIC_URL where the server is not published under one",
            )
    if parts.scheme == "https" and not settings.trusted_proxies and _limits_addresses(settings):
        yield Advice(
            "no_trusted_proxies",
            "TRUSTED_PROXIES",
            "PUBLIC_URL is https, so that a proxy stands in front, and TRUSTED_PROXIES is empty",
            "all visitors seem to come from the proxy's address: those beyond MAX_CONNECTIONS_PER_ADDRESS="
            f"{settings.max_connections_per_address} are turned away",
            "set TRUSTED_PROXIES to the address from which the proxy connects (127.0.0.1 where it runs on this machine), "
            "and let it send X-Forwarded-For",
        )


def _limits_addresses(settings: Settings) -> bool:
    return settings.max_connections_per_address < settings.max_connections

"""The address of Redis (REDIS_URL), read: which servers it names, and how they are reached.

In: the text of the setting. Out: a RedisUrl, or UnusableValue with what is wrong and what to write instead. A text that is
refused may hold a password in any place, so no error repeats any of it but the names of parameters and of files.
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from redis.asyncio.connection import SSLConnection, parse_url

from server.setting_faults import UnusableValue

CLUSTER_SCHEME = "redis+cluster://"
TLS_CLUSTER_SCHEME = "rediss+cluster://"
SENTINEL_SCHEME = "redis+sentinel://"
TLS_SENTINEL_SCHEME = "rediss+sentinel://"
SCHEMES = (
    "redis://",
    "rediss://",
    "unix://",
    CLUSTER_SCHEME,
    TLS_CLUSTER_SCHEME,
    SENTINEL_SCHEME,
    TLS_SENTINEL_SCHEME,
)
PORT = 6379
SENTINEL_PORT = 26379

TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
TLS_PARAMETERS = (*TLS_FILES, "ssl_ca_path", "ssl_password", "ssl_cert_reqs", "ssl_check_hostname", "ssl_ciphers")
"""What redis-py takes for TLS: the CA's file or folder, our own certificate with its key and the key's password, checks."""
SENTINEL_PARAMETERS = ("sentinel_username", "sentinel_password")
PARAMETERS = ("db", "client_name", *TLS_PARAMETERS, *SENTINEL_PARAMETERS)

_CERT_REQS = ("required", "optional", "none")
_ASKS_FOR_TLS = {"tls", "ssl", "use_tls", "use_ssl", "tls_enabled", "ssl_enabled"}
_HOST = re.compile(r"([^\[\]:]*|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """An address that can be used."""

    plain: str
    """For redis-py: that of the one server, of a node of the cluster, or of a Sentinel's master with another host."""
    addresses: tuple[tuple[str, int], ...]
    """Hosts and ports; several are Sentinels. None of a socket."""
    db: int
    tls: bool
    clustered: bool = False
    master: str | None = None
    """The name under which the Sentinels know the master; None without Sentinel."""
    sentinel_login: tuple[str | None, str | None] = (None, None)
    """Name and password for the Sentinels themselves."""

    @property
    def options(self) -> dict[str, Any]:
        """What the address says about a connection but where it leads: redis-py's keyword arguments."""
        options: dict[str, Any] = dict(parse_url(self.plain))
        for name in ("host", "port", "path", "connection_class"):
            options.pop(name, None)
        return options


def check_url(text: str) -> None:
    """Raise UnusableValue if this is no address of Redis, or names a file that cannot be read."""
    read_url(text)
    for name, value in parse_qsl(urlsplit(text).query):
        if name in TLS_FILES:
            try:
                Path(value).read_bytes()
            except OSError as error:
                raise UnusableValue(
                    f"the file of {name} cannot be read: {value}: {error.strerror}",
                    "correct its path, or let this user read it",
                ) from None
    options = read_url(text).options
    if given := [name for name in TLS_PARAMETERS if name in options]:
        try:
            SSLConnection(**{name: options[name] for name in given}).ssl_context.get()
        except (OSError, ValueError) as error:
            names = " and ".join(given)
            raise UnusableValue(
                f"{names} cannot be used: {getattr(error, 'reason', None) or error}",
                "name files in PEM form that fit together",
            ) from None


def read_url(text: str) -> RedisUrl:
    """The address that this text is; raises UnusableValue."""
    scheme = next((one for one in SCHEMES if text.startswith(one)), None)
    if scheme is None:
        raise UnusableValue(
            "the address has no scheme that is known", f"it must start with one of {', '.join(SCHEMES)}"
        )
    try:
        url = urlsplit(text)
    except ValueError:
        raise _unreadable() from None
    if "#" in text or "@" in url.path + url.query:
        raise UnusableValue(
            "the address has a `#`, or an `@` after a `/` or `?`",
            "write it with special characters of the password percent-encoded (`#` as %23, `/` as %2F, `?` as %3F, `@` as %40)",
        )
    parameters = _parameters(url, scheme)
    if scheme == "unix://":
        return RedisUrl(text, (), _number(parameters.get("db", "0")), tls=False)
    tls = scheme.startswith("rediss")
    user, at, hosts = url.netloc.rpartition("@")
    sentinel = scheme in {SENTINEL_SCHEME, TLS_SENTINEL_SCHEME}
    addresses = tuple(_address(host, SENTINEL_PORT if sentinel else PORT) for host in hosts.split(","))
    master, path = _master(url.path) if sentinel else (None, url.path)
    db = _number(parameters.get("db") or _database(path))
    clustered = scheme in {CLUSTER_SCHEME, TLS_CLUSTER_SCHEME}
    if len(addresses) > 1 and not sentinel:
        raise UnusableValue(
            "the address names several hosts",
            "name one node of the cluster, which tells the others"
            if clustered
            else "name one: only redis+sentinel:// takes several",
        )
    if db and clustered:
        raise UnusableValue("a cluster has only database 0", "leave the number out, and set REDIS_PREFIX instead")
    login = (parameters.pop("sentinel_username", None), parameters.pop("sentinel_password", None))
    query = urlencode({**parameters, "db": db} if sentinel else parameters)
    host = "sentinel" if sentinel else hosts
    rest = f"?{query}" if sentinel else f"{path}?{query}" if query else path
    plain = f"{'rediss' if tls else 'redis'}://{user}{at}{host}{rest}"
    return RedisUrl(plain, addresses, db, tls, clustered, master, login)


def _parameters(url: SplitResult, scheme: str) -> dict[str, str]:
    """What follows the `?`; raises UnusableValue for what would have no effect, or another one than was meant."""
    parameters = dict(parse_qsl(url.query, keep_blank_values=True))
    for name, value in parameters.items():
        _check_name(name, scheme)
        if name == "ssl_cert_reqs" and value not in _CERT_REQS:
            raise UnusableValue("ssl_cert_reqs has a value that is not known", f"it is one of {', '.join(_CERT_REQS)}")
    if parameters.get("ssl_keyfile") and not parameters.get("ssl_certfile"):
        raise UnusableValue("ssl_keyfile is the key of a certificate", "name that too, with ssl_certfile")
    return parameters


def _check_name(name: str, scheme: str) -> None:
    if name.lower() in _ASKS_FOR_TLS:
        raise UnusableValue(
            f"`{name}` is no parameter", "TLS is asked for by `rediss` in place of `redis` at the beginning"
        )
    if name not in PARAMETERS:
        near = difflib.get_close_matches(name.lower(), PARAMETERS, 1, 0.75)
        known = f"did you mean `{near[0]}`?" if near else f"leave it out; there are {', '.join(PARAMETERS)}"
        # A name that is none may be a part of the password.
        shown = f"`{name}`" if re.fullmatch(r"[A-Za-z]+(_[A-Za-z]+)*", name) else "what follows the `?`"
        raise UnusableValue(f"{shown} is no parameter of the address", known)
    if name in TLS_PARAMETERS and not scheme.startswith("rediss"):
        raise UnusableValue(f"`{name}` is for TLS", "begin the address with `rediss` in place of `redis`")
    if name in SENTINEL_PARAMETERS and scheme not in {SENTINEL_SCHEME, TLS_SENTINEL_SCHEME}:
        raise UnusableValue(f"`{name}` is for {SENTINEL_SCHEME} only", "leave it out")


def _address(text: str, default_port: int) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    if match is None or int(match[2] or default_port) > 65535:
        raise _unreadable()
    return unquote(match[1]).strip("[]") or "localhost", int(match[2] or default_port)


def _master(path: str) -> tuple[str, str]:
    """The name of the master, and what follows it, of a Sentinel's address."""
    name, _, rest = path.removeprefix("/").partition("/")
    if not name:
        raise UnusableValue(
            "a Sentinel's address names the master too",
            "write it as in redis+sentinel://host:26379,other:26379/mymaster/0",
        )
    return unquote(name), rest


def _database(path: str) -> str:
    # redis-py takes any other text for database 0.
    if not re.fullmatch(r"/?[0-9]*", path):
        raise UnusableValue(
            "what follows the host must be the number of a database", "write it as in redis://host:6379/0"
        )
    return path.removeprefix("/") or "0"


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise _unreadable()
    return int(text)


def _unreadable() -> UnusableValue:
    # The error's text must not quote what was found, which may be a part of the password.
    return UnusableValue(
        "the address cannot be read",
        "write it as redis://:password@host:6379/0, with special characters of the password percent-encoded",
    )

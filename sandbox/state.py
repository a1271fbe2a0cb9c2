"""The files that outlast a run: ids and keys, and the settings of a server that talks to this sandbox.

In: a folder. Out: the Site stored there, or a new one; sandbox.json, .env, private.pem and public.pem. Only the owner
can read files with secrets. A restart keeps ids, keys and secrets, so that a .env stays valid; the stock is reset.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sandbox.errors import StartupError
from sandbox.site import KINDS, OPTIONS, Ids, Site

STATE_FILE = "sandbox.json"
PRIVATE, PUBLIC, SETTINGS = "private.pem", "public.pem", ".env"
SECRET, OPEN = 0o600, 0o644
LOOPBACK = {"127.0.0.1", "localhost", "::1"}

JSON_NAMES = {
    "app": "appId",
    "app_secret": "appSecret",
    "instance": "instanceId",
    "site": "siteId",
    "account": "accountId",
    "owner": "ownerId",
    "api_key": "apiKey",
    "event": "eventId",
    "tickets": "tickets",
    "options": "options",
}
"""Field of Ids → member of the file."""


def load(folder: Path) -> Site:
    """The site stored in this folder, or else a new one. Raises StartupError."""
    kept, private = folder / STATE_FILE, folder / PRIVATE
    if not kept.exists():
        return Site.new()
    try:
        known = json.loads(kept.read_text())
        ids = Ids(**{field: known[name] for field, name in JSON_NAMES.items()})
        key = load_pem_private_key(private.read_bytes(), None)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StartupError(
            f"{kept} or {private} cannot be read ({error!r}): delete both to start with new ids"
        ) from None
    whole = set(ids.tickets) >= set(KINDS) and len(ids.options) == OPTIONS
    if not whole or not isinstance(key, RSAPrivateKey):
        raise StartupError(f"{kept} is of another version: delete it and {private} to start with new ids")
    return Site(ids, key)


def save(folder: Path, site: Site, url: str, receivers: Sequence[str] = ()) -> None:
    """Write all files for a sandbox at *url* that sends webhooks to *receivers*. Raises StartupError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / PRIVATE, site.private_pem, SECRET)
        _write(folder / PUBLIC, site.public_pem, OPEN)
        _write(folder / STATE_FILE, json.dumps(_to_json(folder, site, url), indent=2) + "\n", SECRET)
        lines = (f"{name}={value}\n" for name, value in settings(site, url, receivers).items())
        _write(folder / SETTINGS, "".join(lines), SECRET)
    except OSError as error:
        raise StartupError(f"{folder} cannot be written: {error.strerror}") from None


def settings(site: Site, url: str, receivers: Sequence[str] = ()) -> dict[str, str]:
    """The environment variables of a server that is to use this sandbox as Wix.

    PORT is set if webhooks go to a port of this machine; otherwise a Procfile runner would choose another one.
    """
    ports = [str(parts.port) for parts in map(urlsplit, receivers) if parts.port and parts.hostname in LOOPBACK]
    return {
        **({"PORT": ports[0]} if ports else {}),
        "WIX_APP_ID": site.ids.app,
        "WIX_APP_SECRET": site.ids.app_secret,
        "WIX_PUBLIC_KEY": site.public_line,
        "WIX_SITES": site.ids.instance,
        "WIX_API_URL": url,
    }


def _to_json(folder: Path, site: Site, url: str) -> dict[str, Any]:
    known: dict[str, Any] = {name: getattr(site.ids, field) for field, name in JSON_NAMES.items()}
    return {
        **known,
        "url": url,
        "privateKey": str((folder / PRIVATE).absolute()),
        "publicKey": str((folder / PUBLIC).absolute()),
    }


def _write(path: Path, text: str, mode: int) -> None:
    """Write atomically; others cannot read the file at any time."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    fresh.replace(path)

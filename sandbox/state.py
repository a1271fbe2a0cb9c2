"""What outlives a run, in one folder: who is who, and the settings of a server that talks to this sandbox.

In: a folder. Out: the Site that was kept there, or a new one; sandbox.json, .env, private.pem and public.pem, of which
those with secrets are for their owner alone. A second start keeps ids, keys and secrets, so that a .env stays good;
the stock begins anew.
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
"""Field of Ids → its name in the file."""


def load(folder: Path) -> Site:
    """The site of this folder: the one kept there, else a new one. Raises StartupError."""
    kept, private = folder / STATE_FILE, folder / PRIVATE
    if not kept.exists():
        return Site.new()
    try:
        known = json.loads(kept.read_text())
        ids = Ids(**{field: known[name] for field, name in JSON_NAMES.items()})
        key = load_pem_private_key(private.read_bytes(), None)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StartupError(f"{kept} or {private} cannot be read ({error!r}): delete both to begin anew") from None
    whole = set(ids.tickets) >= set(KINDS) and len(ids.options) == OPTIONS
    if not whole or not isinstance(key, RSAPrivateKey):
        raise StartupError(f"{kept} is of another version: delete it and {private} to begin anew")
    return Site(ids, key)


def save(folder: Path, site: Site, url: str, receivers: Sequence[str] = ()) -> None:
    """Write all files for a sandbox that is reached at *url* and sends webhooks to *receivers*. Raises StartupError."""
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
    """What a server must be told to take this sandbox for Wix, by the names in its environment.

    Where webhooks go to a port of this machine it is told that too: a runner of Procfiles would else pick one.
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
    """Whole or not at all, and never readable by others meanwhile."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    fresh.replace(path)

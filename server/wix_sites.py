"""WIX_SITES: app instance ids, each perhaps with a site id; and what was copied there in their place.

In: the entries, and the other credentials of Wix, of which one may stand here by mistake. Out: the entries, or UnusableValue, which says
what stands there and where the app instance id is found. An API key, an app's secret and any long text are never shown. Source of the
form of an API key: Wix, "About API Keys": `IST.` and a JSON Web Token, whose `tenant` is the account.
"""

import base64
import json
import re
from urllib.parse import urlsplit

from server.setting_faults import UnusableValue, of_entries
from server.wire import guid

WHERE = (
    "write the app instance id: the app's dashboard at Wix shows it, Wix passes it as `instanceId` when the app is installed, and where "
    "webhooks arrive, `webhook_of_unknown_site` in the log names it"
)
WITH_KEY = "with WIX_API_KEY, the site id, which follows /dashboard/ in the address of the site's dashboard, is enough"
LONGEST_SHOWN = 40
"""Characters of an entry that is shown: an id has 36, a longer text may be a secret."""

_SECRET = re.compile(r"(?i:IST\.)|.*eyJ", re.DOTALL)
"""An API key, or any JSON Web Token, as access tokens are: `eyJ` is `{"` in base64."""
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+(:[0-9]+)?(/.*)?", re.IGNORECASE)


def sites(value: tuple[str, ...], *, app_id: str = "", app_secret: str = "", api_key: str = "") -> tuple[str, ...]:
    """The entries as they are; raises UnusableValue with what all of them are that cannot be used."""
    others = {
        app_id.strip().lower(): "{entry} is the app's own id (WIX_APP_ID), which is the same for all sites that have the app",
        app_secret.strip().lower(): "an entry is the app's secret (WIX_APP_SECRET)",
        _account(api_key): "{entry} is the id of your Wix account, for which WIX_API_KEY was made",
    }
    others.pop("", None)
    of_entries(fault for one in value if (fault := _fault(one, others)) is not None)
    return value


def _fault(entry: str, others: dict[str, str]) -> UnusableValue | None:
    """What is wrong with one entry; *others* has ids that are none of a site, and what they are."""
    parts = entry.split("=", 1)
    for part in parts:
        if what := others.get(part.lower()):
            return UnusableValue(what.format(entry=repr(part)), WHERE)
    if all(guid(part) is not None for part in parts):
        return None
    if any(_SECRET.match(part) for part in parts):
        return UnusableValue(
            "an entry is an API key or a token of Wix, which is a secret",
            f"move an API key to WIX_API_KEY. Here, {WHERE}; {WITH_KEY}",
        )
    if "://" in entry or _HOST.fullmatch(entry):
        return UnusableValue(f"{_host(entry)!r} is of a web address, and no app instance id", f"{WHERE}; {WITH_KEY}")
    shown = (
        repr(entry)
        if len(entry) <= LONGEST_SHOWN or (guid(parts[0]) and len(entry) <= 2 * LONGEST_SHOWN)
        else f"an entry of {len(entry)} characters"
    )
    return UnusableValue(f"{shown} is not an app instance id, nor `instance id=site id`", WHERE)


def _host(entry: str) -> str:
    """The host of an address: what stands before it may be a password, and what follows it a token; a long one may be no host."""
    try:
        host = urlsplit(entry if "://" in entry else f"https://{entry}").hostname or ""
    except ValueError:
        host = ""
    return host if 0 < len(host) <= LONGEST_SHOWN else "https://"


def _account(api_key: str) -> str:
    """The id of the account that an API key was made for; "" where the key does not say it."""
    try:
        payload = api_key.split(".")[2 if api_key[:4].upper() == "IST." else 1]
        data = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["data"]
        tenant = (json.loads(data) if isinstance(data, str) else data)["tenant"]
        return str(tenant["id"]).lower() if tenant["type"] == "account" else ""
    except (IndexError, KeyError, TypeError, ValueError):
        return ""

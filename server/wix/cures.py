"""What to do about a fault of Wix: the cure that log lines, commands and `doctor` show.

In: what Wix answered, or why no answer came, or what is wrong with a webhook. Out: one sentence or two for the person who runs
the server, which name the setting, or the page at Wix, where it is mended. calls.py and signature.py put it into the `hint` of the
errors that they raise; `hint` reads it from any error.
Sources: Wix, "Create Access Token", "About API Keys", "Errors", "Rate Limits", "About Webhooks"; RFC 6749 section 5.2.
"""

from http import HTTPStatus

from server.wix.no_answer import Cause

PERMISSIONS = {
    "query": "Manage Ticket Definitions",
    "list": "Manage Ticket Definitions",
    "get": "Manage Ticket Definitions",
    "events": "Read Events",
    "event": "Read Events",
    "contacts": "Manage Contacts",
    "contact": "Manage Contacts",
    "update_contact": "Manage Contacts",
    "update_contacts": "Manage Contacts",
    "bulk_job": "Manage Contacts",
    "labels": "Manage Contact Labels",
    "extended_fields": "Manage Contact Extended Fields",
    "subscriptions": "Manage Email Subscriptions",
    "unsubscribe": "Manage Email Subscriptions",
}
"""The permission that each kind of call needs, as the app's Permissions page names it."""

WAIT = "nothing is to be done here: it is tried again until Wix answers"
ADDRESS = "check WIX_API_URL, which is to be https://www.wixapis.com but for a local Wix"

OTHER_KEY = (
    "WIX_PUBLIC_KEY is not the key of the app that sent this: copy the public key again from the Webhooks page of that app, whose "
    "id is WIX_APP_ID (where no webhook is expected, someone else may have sent it: nothing of it was used)"
)
"""A webhook as Wix sends them whose signature is not of WIX_PUBLIC_KEY, while none was verified yet."""
ANOTHER_APP = (
    "other webhooks were verified, so WIX_PUBLIC_KEY is right: another app at Wix sends its webhooks to this address as well "
    "(change it on that app's Webhooks page), or someone else sent this; nothing of it was used"
)
"""The same, after others were verified."""
KEY_CHANGED = (
    "if WIX_PUBLIC_KEY was changed since a webhook was last taken, it is not the key of the app that sent this: copy the public key again from "
    "that app's Webhooks page. If it was not, another app at Wix sends its webhooks to this address as well, or someone else sent this; "
    "nothing of it was used"
)
"""The same, where others were verified before, perhaps with another key."""
CLOCK = (
    "check this machine's clock (timedatectl): Wix's webhooks have a time, and this one's is over, or has not come yet"
)
UNKNOWN_SITE = (
    "put this id into WIX_SITES, in place of a wrong one or beside the others, or run `ticket-counter sites add` with it; where the app "
    "was removed from that site, nothing is to be done"
)
"""A webhook that Wix signed, of a site that is not known."""
NO_KEY = "set WIX_PUBLIC_KEY: copy the public key from the app's Webhooks page at Wix"
NOT_WIX = "someone other than Wix sent this: nothing of it was used, and nothing is to be done"


def hint(error: Exception) -> str:
    """The cure of this error; empty where its text says it, or where there is none."""
    return str(getattr(error, "hint", ""))


def of_token(status: int, code: str) -> str:
    """What to do where Wix gave no token: by the status, and by OAuth's error code where it named one."""
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED} or status < HTTPStatus.BAD_REQUEST:
        return f"{ADDRESS}: this address has no tokens"
    if code == "invalid_grant":
        return (
            "the app is not installed on this site: install it there, or correct the app instance id in WIX_SITES (it is the "
            "instanceId of the app's webhooks, not the site's id)"
        )
    if code == "invalid_client" or status == HTTPStatus.UNAUTHORIZED:
        return (
            "WIX_APP_SECRET or WIX_APP_ID is wrong: copy both again from the OAuth page of the same app (a new secret there ends "
            "the old one)"
        )
    return (
        "check that WIX_APP_ID and WIX_APP_SECRET are of the same app (its OAuth page), and that the app is installed on this site: "
        "its app instance id stands in WIX_SITES"
    )


def of_status(status: int, kind: str, *, api_key: bool) -> str:
    """What to do where Wix answered a call of this kind with this status; *api_key*: with WIX_API_KEY, not as an app."""
    if status == HTTPStatus.UNAUTHORIZED and api_key:
        return (
            "WIX_API_KEY is wrong, was deleted, or is not of the account that owns this site: create a key on the API Keys page of "
            "that account. If it is right, the site id in WIX_SITES is not: it is written `instance id=site id`"
        )
    if status in {HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED}:
        return of_permission(kind, api_key=api_key)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return (
            "Wix allows an app 200 calls a minute on a site, and we stay below: if it lasts, another program or deployment uses the "
            f"same app; else {WAIT}"
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"the fault is Wix's (status.wix.com): {WAIT}"
    if status == HTTPStatus.OK:
        return f"what answers there may not be Wix, but a proxy or a sign-in page: {ADDRESS}"
    if status == HTTPStatus.NOT_FOUND or HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"that is not the address of Wix's API: {ADDRESS}"
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return no_answer(Cause.PROXY_SIGN_IN, "", proxy="the proxy")
    return "Wix does not take a request that it used to take: update this server, or report it with the request id"


def of_permission(kind: str, *, api_key: bool) -> str:
    """What to do where the permission for calls of this kind is missing."""
    permission = PERMISSIONS.get(kind, "for this call")
    if api_key:
        return f"the API key lacks the permission {permission}: create a key that has it on the account's API Keys page at Wix"
    return (
        f"the app lacks the permission {permission}: give it that on its Permissions page at Wix, and have the site's owner accept "
        "it (the site's Manage Apps page asks for an update)"
    )


def no_answer(cause: Cause, host: str, *, proxy: str | None = None) -> str:
    """What to do where no answer came from the *host* of WIX_API_URL; *proxy*: the host of HTTPS_PROXY, where it is set."""
    refusing = cause in {Cause.PROXY, Cause.PROXY_SIGN_IN}
    there = f"the proxy {proxy}" if proxy else "the proxy" if refusing else host
    setting = "HTTPS_PROXY" if proxy else "WIX_API_URL"
    direct = "" if proxy else "; where only a proxy leads to the internet, set HTTPS_PROXY"
    return {
        Cause.NO_ADDRESS: f"check the name in {setting} and this machine's name server (`getent hosts {there.split()[-1]}`){direct}",
        Cause.NO_DNS: f"no name server answers: check this machine's network and its /etc/resolv.conf{direct}",
        Cause.REFUSED: f"nothing listens there: check {setting}, and whether {there} runs",
        Cause.UNREACHABLE: f"check this machine's network and its firewall: there is no way to {there}{direct}",
        Cause.NOT_CONNECTED: f"check this machine's network, and {setting}{direct}",
        Cause.CONNECT_TIMEOUT: f"a firewall may drop what goes to {there}: allow it{direct}",
        Cause.UNTRUSTED: (
            f"the certificate of {host} is not signed by an authority that is trusted here: if a proxy or a firewall of yours reads "
            "this traffic, set WIX_CA_FILE to a file with its CA certificate (PEM); else do not go on, for it is not Wix"
        ),
        Cause.EXPIRED: f"the certificate of {host} has expired, or this machine's clock is wrong: check it (timedatectl)",
        Cause.NOT_YET_VALID: "this machine's clock is behind: set it (timedatectl), the certificate is not valid yet",
        Cause.WRONG_NAME: f"what answers at {host} has the certificate of another host: {ADDRESS}",
        Cause.NO_TLS: f"{there} does not speak TLS on that port: check {setting} (http or https, and the port)",
        Cause.TLS: f"something between here and {host} breaks TLS: check firewalls and proxies, and {setting}",
        Cause.PROXY_SIGN_IN: (
            f"{there} wants a user and a password: write them into HTTPS_PROXY as http://user:password@host:port"
        ),
        Cause.PROXY: f"{there} does not connect to {host}: allow it there, or take another proxy (HTTPS_PROXY)",
        Cause.READ_TIMEOUT: f"Wix is slow, or something between here and {host} holds its answers back: {WAIT}",
        Cause.CLOSED: f"Wix, or something between here and {host}, ends connections: if it lasts, check firewalls and proxies",
        Cause.TOO_LONG: f"what answers there may not be Wix: {ADDRESS}",
        Cause.BUSY: f"all connections to {host} wait for answers: {WAIT}",
    }[cause]

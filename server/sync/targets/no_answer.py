"""Why a target did not answer, and what to do: in our own words, as httpx's texts name neither.

In: the error of a call without an answer. Out: a sentence with the cause, the host and the cure.
"""

import httpx

from server.addresses import PrivateAddress
from server.wix.no_answer import Cause, cause_of

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Errors of which no byte has reached the target."""

_URL = "correct url in the file of SYNC_FILE"
_SERVER = "see whether its server runs"
_CURES = {
    Cause.NO_ADDRESS: f"{_URL}, or this machine's name server",
    Cause.NO_DNS: "see this machine's network and name server",
    Cause.REFUSED: f"{_SERVER}, and whether url in the file of SYNC_FILE has its port",
    Cause.UNREACHABLE: "see this machine's network and firewall",
    Cause.CONNECT_TIMEOUT: f"{_SERVER}, and whether a firewall is between here and there",
    Cause.UNTRUSTED: "give it a certificate that browsers trust, with its intermediate certificates",
    Cause.EXPIRED: "renew the certificate, or set this machine's clock",
    Cause.NOT_YET_VALID: "set this machine's clock",
    Cause.WRONG_NAME: f"{_URL} to the host that the certificate names, or give it another certificate",
    Cause.NO_TLS: f"{_URL}: its port, or http:// with allow_http = true",
    Cause.TLS: "see which versions of TLS its server allows",
    Cause.BUSY: "nothing is to be done unless it lasts: then restart the worker",
}


def no_answer(error: httpx.HTTPError, host: str, within: float) -> str:
    """Why *host* gave no answer, after *within* seconds at most: `was not sent: cause (host): cure`. It has no secret in it."""
    if not isinstance(error, NOT_SENT):
        late = isinstance(error, httpx.TimeoutException)
        why = f"within {within:g} s" if late else f"({cause_of(error)})"
        return f"got no answer {why}: see whether its server is overloaded, or its log says why"
    private = _private(error)
    if private is not None:
        return f"was not sent: {private}"
    cause = cause_of(error)
    return f"was not sent: {cause} ({host}): {_CURES.get(cause, f'{_SERVER}, and how it is reached from this machine')}"


def _private(error: BaseException) -> PrivateAddress | None:
    """The refusal of an address that is not public, in the chain of causes; it has its own cure."""
    one: BaseException | None = error
    while one is not None:
        if isinstance(one, PrivateAddress):
            return one
        one = one.__cause__ or one.__context__
    return None

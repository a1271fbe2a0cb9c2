"""Signs requests to a target by the Standard Webhooks scheme, with method and address among what is signed.

In: the secrets (`whsec_` and 24 to 64 bytes in base64) and a request. Out: its headers `webhook-id`, `webhook-timestamp` and
`webhook-signature`, which has a signature by each secret, so that one can be changed while both are known. The signed content is
`METHOD target`, a line break, and the body; target = path and query as they are sent. A receiver refuses what is older than five
minutes. Source: standardwebhooks.com, "Standard Webhooks specification" (signature scheme, secret rotation).
"""

import base64
import binascii
from datetime import UTC, datetime

from standardwebhooks import Webhook

from server.errors import NotStarted

PREFIX = "whsec_"


class Signer:
    """Signs with all the secrets of a target. *secrets* are separated by blanks; raises NotStarted where one is none."""

    def __init__(self, target: str, secrets: str) -> None:
        self.secrets = tuple(secrets.split())
        if not self.secrets or not all(map(_is_secret, self.secrets)):
            raise NotStarted(
                f"{target}: its secret is not {PREFIX} with 24 to 64 bytes in base64; make one with:"
                f' echo "{PREFIX}$(openssl rand -base64 32)"'
            )
        self._signing = [Webhook(secret) for secret in self.secrets]

    def headers(self, id_: str, method: str, target: str, body: bytes) -> dict[str, str]:
        """The headers of one request that is sent now; a retry has the same *id_*, and so is known as one."""
        now = datetime.now(UTC)
        content = f"{method} {target}\n{body.decode()}"
        return {
            "webhook-id": id_,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(one.sign(id_, now, content) for one in self._signing),
        }


def _is_secret(text: str) -> bool:
    if not text.startswith(PREFIX):
        return False
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return 24 <= len(key) <= 64

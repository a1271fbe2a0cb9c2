"""The header Host of a request (RFC 9110, section 7.2; RFC 9112, section 3.2).

In: the lines of a request's header. Out: whether it may be answered: a request of HTTP/1.1 has exactly one Host, and none has
two or one that is no host; then two machines on the way could take the request for one of different hosts.
"""

import re
from collections.abc import Iterable

_HOST = re.compile(rb"(\[[A-Za-z0-9:.%_~-]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]*)?")
"""uri-host [ ":" port ] (RFC 3986, section 3.2.2), which may be empty."""


def is_host(value: bytes) -> bool:
    """Whether this is the value of a Host header."""
    return _HOST.fullmatch(value) is not None


def has_host(headers: Iterable[tuple[bytes, bytes]], http_version: str) -> bool:
    """Whether a request has the Host header that its version must have; names of headers are in lower case."""
    found = [value for name, value in headers if name == b"host"]
    return is_host(found[0]) if len(found) == 1 else not found and http_version != "1.1"

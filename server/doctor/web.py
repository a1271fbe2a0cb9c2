"""Asks an address of the web, as someone outside would: no proxy, no redirects followed.

In: an address. Out: an Answer, or NoAnswer with the reason in words.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from server.wix.no_answer import cause_of

TIMEOUT = 10.0
LARGEST = 65_536
"""Bytes of an answer that are read: a stream has no end."""


class NoAnswer(Exception):
    """Nothing answered; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, headers, and the beginning of the body as text."""

    status: int
    headers: Mapping[str, str]
    body: str


async def ask(url: str, *, first_part: bool = False, timeout: float = TIMEOUT, **headers: str) -> Answer:  # noqa: ASYNC109
    """GET this address; with *first_part* the body is what comes first. Raises NoAnswer."""
    body = b""
    try:
        async with (
            httpx.AsyncClient(trust_env=False, timeout=timeout) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            async for part in response.aiter_bytes():
                body += part
                if first_part or len(body) > LARGEST:
                    break
    except httpx.HTTPError as error:
        raise NoAnswer(str(cause_of(error))) from None
    except httpx.InvalidURL:
        raise NoAnswer("it is no address") from None
    return Answer(response.status_code, response.headers, body[:LARGEST].decode(errors="replace"))

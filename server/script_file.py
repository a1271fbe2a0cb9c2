"""A script for pages of others, compressed once and served in the form that a client accepts.

In: the file, and beside it what scripts/build-widget compressed (`.br`, `.gz`), if it has. Out: answers with an ETag for each form. The
hash, which stands in addresses, is that of the file itself: Subresource Integrity is of what a browser has decompressed.
"""

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from server.accept_encoding import IDENTITY, chosen
from server.snippet import hash_of

FIVE_MINUTES, FOR_EVER = "public, max-age=300", "public, max-age=31536000, immutable"
_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """A script's bytes in each content coding, the best first, without compression under `identity`; and its hash."""

    forms: Mapping[str, bytes]
    hash: str

    @property
    def plain(self) -> bytes:
        """The script itself."""
        return self.forms[IDENTITY]

    @classmethod
    def of(cls, body: bytes) -> Self:
        """The script with this text, compressed here."""
        return cls({"gzip": gzip.compress(body, 9, mtime=0), IDENTITY: body}, hash_of(body))

    @classmethod
    def read(cls, path: Path) -> Self:
        """The script of a file. Raises OSError if it cannot be read.

        What is compressed beside it counts only if it is of this script: otherwise, as where somebody has changed the script alone, it is
        compressed here. Python has no Brotli to look into `.br`, which is written together with `.gz`.
        """
        body = path.read_bytes()
        try:
            zipped = path.with_suffix(".js.gz").read_bytes()
            if gzip.decompress(zipped) != body:
                return cls.of(body)
            return cls(
                {"br": path.with_suffix(".js.br").read_bytes(), "gzip": zipped, IDENTITY: body},
                hash_of(body),
            )
        except (OSError, EOFError, zlib.error):
            return cls.of(body)

    def response(self, request: Request, cache_control: str) -> Response:
        """The script as this client accepts it; 304 if it has that form, 406 if it accepts none."""
        coding = chosen(request.headers.get("accept-encoding"), [*self.forms][:-1])
        if coding is None:
            return PlainTextResponse(
                f"accept one of the codings {', '.join(self.forms)}\n",
                406,
                headers={"Cache-Control": "no-store", "Vary": "Accept-Encoding"},
            )
        etag = f'"{self.hash}"' if coding == IDENTITY else f'"{self.hash}-{coding}"'
        headers = {**_HEADERS, "Cache-Control": cache_control, "ETag": etag}
        if _names(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=headers)
        if coding != IDENTITY:
            headers["Content-Encoding"] = coding
        return Response(self.forms[coding], media_type="text/javascript", headers=headers)


def _names(if_none_match: str, etag: str) -> bool:
    """Whether the header names this ETag, weakly or not (RFC 9110, section 13.1.2)."""
    tags = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return etag in tags or tags == ["*"]

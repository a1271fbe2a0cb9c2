import gzip
import hashlib
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from server.pages import WIDGET
from server.script_file import FIVE_MINUTES, ScriptFile

BODY = b"let one = 1;\n" * 20
HASH = hashlib.sha256(BODY).hexdigest()[:16]


def ask(script: ScriptFile, accept: str | None = None, if_none_match: str | None = None) -> Response:
    """The answer to a request with these headers."""
    headers = [
        (name, value.encode())
        for name, value in ((b"accept-encoding", accept), (b"if-none-match", if_none_match))
        if value is not None
    ]
    return script.response(Request({"type": "http", "method": "GET", "headers": headers}), FIVE_MINUTES)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A script with what was compressed beside it; the Brotli form is any bytes, which nothing here decompresses."""
    path = tmp_path / "script.js"
    path.write_bytes(BODY)
    path.with_suffix(".js.gz").write_bytes(gzip.compress(BODY, 1, mtime=1))
    path.with_suffix(".js.br").write_bytes(b"brotli")
    return path


def test_forms_of_a_built_script(built: Path) -> None:
    """What was compressed when the script was built is served as it is, each form with an ETag of its own."""
    script = ScriptFile.read(built)
    found = {accept: ask(script, accept) for accept in ("br", "gzip", "identity")}

    assert [b"brotli", built.with_suffix(".js.gz").read_bytes(), BODY] == [one.body for one in found.values()]
    assert ["br", "gzip", None] == [one.headers.get("content-encoding") for one in found.values()]
    assert [f'"{HASH}-br"', f'"{HASH}-gzip"', f'"{HASH}"'] == [one.headers["etag"] for one in found.values()]
    assert ["6", str(len(script.forms["gzip"])), str(len(BODY))] == [
        one.headers["content-length"] for one in found.values()
    ]
    assert {"Accept-Encoding"} == {one.headers["vary"] for one in found.values()}
    assert (BODY, HASH) == (script.plain, script.hash)


def change(path: Path) -> None:
    path.write_bytes(BODY + b"// changed\n")


def break_gzip(path: Path) -> None:
    path.with_suffix(".js.gz").write_bytes(b"no gzip")


def cut_gzip(path: Path) -> None:
    path.with_suffix(".js.gz").write_bytes(gzip.compress(BODY)[:-9])


def remove_gzip(path: Path) -> None:
    path.with_suffix(".js.gz").unlink()


def remove_brotli(path: Path) -> None:
    path.with_suffix(".js.br").unlink()


@pytest.mark.parametrize("fault", [change, break_gzip, cut_gzip, remove_gzip, remove_brotli])
def test_compressed_forms_that_are_not_of_the_script(built: Path, fault: object) -> None:
    """Compressed forms that are not those of the script are not served: it is compressed again."""
    assert callable(fault)
    fault(built)

    script = ScriptFile.read(built)

    assert ["gzip", "identity"] == [*script.forms]
    assert built.read_bytes() == gzip.decompress(ask(script, "br, gzip").body)


def test_not_modified(built: Path) -> None:
    """A client that has this form gets 304 with the headers that a cache updates; one that has another form gets this one."""
    script = ScriptFile.read(built)
    same = [ask(script, "br", known) for known in (f'"{HASH}-br"', f'W/"{HASH}-br"', f'"x", "{HASH}-br"', "*")]
    other = [ask(script, "br", known) for known in (f'"{HASH}"', f'"{HASH}-gzip"', '"x"', f"{HASH}-br", "")]

    assert {(304, b"")} == {(one.status_code, one.body) for one in same}
    assert {(f'"{HASH}-br"', FIVE_MINUTES, "Accept-Encoding", "*")} == {
        tuple(one.headers[name] for name in ("etag", "cache-control", "vary", "access-control-allow-origin"))
        for one in same
    }
    assert {200} == {one.status_code for one in other}


def test_no_form_is_accepted(built: Path) -> None:
    """A client that accepts none of the forms gets 406, which no cache keeps and no other client gets."""
    response = ask(ScriptFile.read(built), "*;q=0")

    assert (406, b"accept one of the codings br, gzip, identity\n") == (response.status_code, response.body)
    assert ("no-store", "Accept-Encoding") == (response.headers["cache-control"], response.headers["vary"])


def test_committed_widget_has_all_forms() -> None:
    """The widget of this repository is served with Brotli, and with a gzip form smaller than zlib's."""
    script = ScriptFile.read(WIDGET)

    assert ["br", "gzip", "identity"] == [*script.forms]
    assert len(script.forms["br"]) < len(script.forms["gzip"]) < len(gzip.compress(script.plain, 9))

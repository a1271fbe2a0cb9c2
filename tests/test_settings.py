import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from server import settings
from server.counter import Rules
from server.errors import NotStarted
from server.model import SiteId
from server.settings import Settings
from server.wix.credentials import ApiKey, App

INSTANCE = "5F0E4D3C-1111-4111-8111-00000000B001"
SITE_ID = "7c9e6679-2222-4222-8222-00000000c001"

Write = Callable[..., Settings]


@pytest.fixture
def from_file(tmp_path: Path) -> Write:
    """Settings from a `.env` file with these lines."""

    def read(*lines: str) -> Settings:
        (tmp_path / ".env").write_text("\n".join(lines) + "\n")
        return settings.load(_env_file=tmp_path / ".env")

    return read


def refused(read: Callable[[], Any]) -> str:
    with pytest.raises(NotStarted) as caught:
        read()
    return str(caught.value)


@pytest.fixture(scope="module")
def pem() -> str:
    """A public key as the app's dashboard shows it."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    key = rsa.generate_private_key(65537, 2048).public_key()
    return key.public_bytes(serialization.Encoding.PEM, spki).decode()


def test_default_settings(from_file: Write) -> None:
    """Without any setting all defaults are valid, and of the right type."""
    found = from_file()

    assert ("127.0.0.1", 8000, ("*",)) == (found.host, found.port, found.origins)
    assert Rules(10, None) == found.rules
    assert (15, 300, 90) == (found.timing.watch_every, found.timing.reconcile, found.timing.max_stale)
    assert found.everything
    assert found.key is None
    assert {} == found.sites


def test_dotenv_file(from_file: Write) -> None:
    """A `.env` file sets what environment variables would; an empty value counts as not set."""
    found = from_file("LOW_AT=5", "SHOW_AT_MOST=20", "PORT=", "REDIS_URL=", "ORIGINS=", "TRACK=watched", "OTHER=1")

    assert Rules(5, 20) == found.rules
    assert (8000, None, ("*",)) == (found.port, found.redis_url, found.origins)
    assert not found.everything


def test_prefix_and_database_of_redis(from_file: Write) -> None:
    """The prefix is `tc` unless it is set, and every form of address may name a database."""
    assert "tc" == from_file().redis_prefix
    assert "shop_2.b-C" == from_file("REDIS_PREFIX=shop_2.b-C").redis_prefix
    for url in (
        "redis://h/3",
        "rediss://h:1?db=3",
        "unix:///run/redis.sock?db=3",
        "redis+cluster://h",
        "redis+cluster://h/0",
    ):
        assert url == from_file(f"REDIS_URL={url}").redis()


def test_all_faults_at_once(from_file: Write) -> None:
    """All faults are reported at once, one per line with the setting's name, including those between two settings."""
    text = refused(
        lambda: from_file(
            "PORT=99999",
            "LOW_AT=30",
            "SHOW_AT_MOST=20",
            "WATCH_EVERY=200",
            "WIX_SITES=nonsense",
            "TRACK=some",
            "WIX_APP_ID=app",
            "WIX_API_KEY=key",
            "WIX_PUBLIC_KEY=nonsense",
        )
    )

    first, *lines = text.splitlines()
    assert "these settings cannot be used:" == first
    assert {"PORT", "SHOW_AT_MOST", "MAX_STALE", "WIX_SITES", "TRACK", "WIX_API_KEY", "WIX_PUBLIC_KEY"} == {
        line.split()[0].rstrip(":") if line.split()[0] != "set" else line.split()[1].rstrip(",") for line in lines
    }


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("PORT=http", "valid integer"),
        ("PORT=-1", "greater than or equal to 0"),
        ("LOW_AT=-1", "greater than or equal to 0"),
        ("TRACK=some", "'all' or 'watched'"),
        ("LOG_LEVEL=loud", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("WATCH_EVERY=0", "greater than or equal to 1"),
        ("RECONCILE=inf", "finite number"),
        ("MAX_STALE=nan", "finite number"),
        ("HISTORY_DAYS=0", "greater than 0"),
        ("WATCH_EVERY=90", "WATCH_EVERY=90 is not below MAX_STALE=90"),
        ("SHOW_AT_MOST=3", "LOW_AT=10 is above SHOW_AT_MOST=3, so"),
        ("WIX_SITES=abc", "'abc' is not an app instance id, nor `instance id=site id`"),
        (f"WIX_SITES={INSTANCE}=x", "is not an app instance id"),
        (f"WIX_SITES={INSTANCE}={SITE_ID}={SITE_ID}", "is not an app instance id"),
        ("PUBLIC_URL=shop.example", "'shop.example' is not an http or https address"),
        ("WIX_API_URL=file:///etc/passwd", "is not an http or https address"),
        ("REDIS_URL=localhost:6379", "must start with one of redis://, rediss://, unix://, redis+cluster://"),
        ("REDIS_URL=redis://localhost:port", "cannot be read: write it as redis://:password@host:6379/0"),
        ("REDIS_URL=redis://localhost/staging", "must be the number of a database, as in redis://host:6379/0"),
        ("REDIS_URL=redis+cluster://localhost/3", "a cluster has only database 0"),
        ("REDIS_URL=redis+cluster://localhost?db=3", "set REDIS_PREFIX instead"),
        ("REDIS_PREFIX=a:b", "'a:b' is not 1 to 40 letters (a-z, A-Z), digits, `_`, `-` or `.`"),
        ("REDIS_PREFIX={tc}", "'{tc}' is not 1 to 40 letters"),
        (f"REDIS_PREFIX={'a' * 41}", "is not 1 to 40 letters"),
        ("ORIGINS=shop.example", "'shop.example' is not an origin such as https://www.example.com"),
        ("ORIGINS=https://shop.example/page", "is not an origin"),
        ("ORIGINS=https://shop.example?x", "is not an origin"),
        ("ORIGINS=https://shop.example:port", "is not an origin"),
        ("ORIGINS=https://a.example; script-src x", "is not an origin"),
        ("ORIGINS=https://bücher.example", "is not an origin"),
        ("ORIGINS=https://a.*.example", "a wildcard stands only for sub-domains"),
        ("ORIGINS=https://*", "a wildcard stands only for sub-domains"),
        ("ORIGINS=*.example.com", "a wildcard stands only for sub-domains"),
        ("ORIGINS=,", "it names no origin: write `*` for all"),
        ("TRUSTED_PROXIES=nginx", "'nginx' is not an address or a network such as 10.0.0.0/8"),
        ("TRUSTED_PROXIES=*", "'*' is not an address"),
        ("WIX_PUBLIC_KEY=nonsense", "copy it from the app's Webhooks page"),
    ],
)
def test_fault_of_one_setting(from_file: Write, line: str, says: str) -> None:
    """A value that cannot be used is refused with what it should be, by the setting's name."""
    text = refused(lambda: from_file(line))

    assert says in text
    assert any(word in text for word in (line.partition("=")[0], "MAX_STALE", "SHOW_AT_MOST"))
    assert 2 == len(text.splitlines())


def test_secrets_are_not_shown(from_file: Write) -> None:
    """No fault and no representation shows a secret."""
    secrets = (
        "WIX_APP_SECRET=hunter2",
        "METRICS_TOKEN=hunter2",
        "REDIS_URL=redis://:hunter2@127.0.0.1:6379/0",
    )

    found = from_file(*secrets)
    shown = f"{found!r} {found} {found.credentials() if found.wix_app_id else ''}"
    faults = [
        refused(lambda: from_file("PORT=x", *secrets)),
        refused(lambda: from_file("REDIS_URL=http://:hunter2@127.0.0.1")),
        refused(lambda: from_file("REDIS_URL=redis://:hunter2/word@127.0.0.1")),
        refused(lambda: from_file("REDIS_URL=redis://:hunter2@127.0.0.1?db=hunter2")),
        refused(lambda: from_file("WIX_API_KEY=hunter2", "WIX_APP_ID=app")),
    ]

    assert [] == [text for text in (shown, *faults) if "hunter2" in text]
    assert "redis://:hunter2@127.0.0.1:6379/0" == found.redis()


def test_dotenv_file_is_not_text(tmp_path: Path) -> None:
    """A `.env` file that is not text is named."""
    (tmp_path / ".env").write_bytes(b"PORT=\xff\xfe\n")

    assert "the file .env cannot be read as UTF-8 text" in refused(lambda: settings.load(_env_file=tmp_path / ".env"))


def test_public_key_forms(from_file: Write, pem: str) -> None:
    r"""The public key is read as PEM, as PEM with literal `\n`, and as base64 of PEM."""
    forms = [f'"{pem}"', f"'{pem.replace(chr(10), chr(92) + 'n')}'", base64.b64encode(pem.encode()).decode()]

    numbers = {key.public_numbers().n for form in forms if (key := from_file(f"WIX_PUBLIC_KEY={form}").key)}

    assert 1 == len(numbers)


def test_public_key_invalid(from_file: Write, pem: str) -> None:
    """A key that cannot be used is refused with where to get the right one, and is not quoted."""
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    elliptic = curve.public_bytes(serialization.Encoding.PEM, spki)

    found = [
        refused(lambda: from_file("WIX_PUBLIC_KEY=c2VjcmV0")),
        refused(lambda: from_file(f"WIX_PUBLIC_KEY={base64.b64encode(elliptic).decode()}")),
        refused(lambda: from_file(f'WIX_PUBLIC_KEY="{pem[:200]}"')),
    ]

    assert "not a readable PEM public key" in found[0]
    assert "not an RSA key" in found[1]
    assert "with its BEGIN and END lines" in found[2]
    assert [] == [text for text in found if pem.splitlines()[1] in text or text.count("WIX_PUBLIC_KEY") != 1]


def test_lists_are_comma_separated(from_file: Write) -> None:
    """Lists are comma-separated, with optional blanks; origins get the form in which browsers send them."""
    found = from_file(
        "ORIGINS= https://Shop.example/ , https://*.wixsite.com:443,http://[::1]:8080,null,",
        "TRUSTED_PROXIES=10.0.0.1, 10.1.0.0/16 ,fd00::/8",
        f"WIX_SITES={INSTANCE},{INSTANCE}={SITE_ID}",
    )

    assert ("https://shop.example", "https://*.wixsite.com", "http://[::1]:8080", "null") == found.origins
    assert ("10.0.0.1", "10.1.0.0/16", "fd00::/8") == found.trusted_proxies
    assert {SiteId(INSTANCE.lower()): SITE_ID} == found.sites


@pytest.mark.parametrize(
    ("given", "path"), [("/counter", "/counter"), ("counter/", "/counter"), ("/", ""), ("/a/b/", "/a/b")]
)
def test_root_path_form(from_file: Write, given: str, path: str) -> None:
    """The root path begins with a slash and does not end with one, however it was written."""
    assert path == from_file(f"ROOT_PATH={given}").root_path


def test_trailing_slash_of_urls(from_file: Write) -> None:
    """URLs to which paths are appended lose their trailing slash."""
    found = from_file("PUBLIC_URL=https://tickets.example/", "WIX_API_URL=http://127.0.0.1:9/")

    assert ("https://tickets.example", "http://127.0.0.1:9") == (found.public_url, found.wix_api_url)


def test_app_credentials(from_file: Write) -> None:
    """An app has an id and a secret; a missing one is named, with where it is found."""
    found = from_file("WIX_APP_ID=app", "WIX_APP_SECRET=hunter2")

    assert App("app", "hunter2") == found.credentials()
    text = refused(from_file("WIX_APP_ID=app").credentials)
    assert text.startswith("WIX_APP_SECRET not set: take them from your app's OAuth page at Wix")
    assert refused(from_file().credentials).startswith("WIX_APP_ID and WIX_APP_SECRET not set")


def test_api_key_credentials(from_file: Write) -> None:
    """An API key comes with the site id of each instance; an instance without one is its own site id."""
    other = INSTANCE.lower().replace("b001", "b002")

    found = from_file("WIX_API_KEY=key", f"WIX_SITES={INSTANCE}={SITE_ID.upper()},{other}").credentials()

    assert ApiKey("key", {SiteId(INSTANCE.lower()): SITE_ID, SiteId(other): other}) == found


def test_redis_url_missing(from_file: Write) -> None:
    """Without REDIS_URL the error says what it is for, gives an example, and names what works without it."""
    text = refused(from_file().redis)

    assert "REDIS_URL is not set" in text
    assert "redis://127.0.0.1:6379/0" in text
    assert "`ticket-counter serve`" in text


def test_sync_file(from_file: Write) -> None:
    """The mapping file is sync.toml, which need not exist, unless SYNC_FILE is set, to whatever it is."""
    assert (Path("sync.toml"), False) == (from_file().sync_file, from_file().sync_file_is_set)
    assert (Path("sync.toml"), False) == (from_file("SYNC_FILE=").sync_file, from_file("SYNC_FILE=").sync_file_is_set)
    for name in ("sync.toml", "conf/other.toml"):
        found = from_file(f"SYNC_FILE={name}")
        assert (Path(name), True) == (found.sync_file, found.sync_file_is_set)


def test_environment_of_the_sync_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that SYNC_FILE names come from the environment, then from `.env`; an empty one counts as not set."""
    file = tmp_path / ".env"
    file.write_text("A_TOKEN=of the file\nB_TOKEN=of the file\nC_TOKEN=\nD_TOKEN\n")
    for name, value in (("A_TOKEN", "of the environment"), ("B_TOKEN", ""), ("E_TOKEN", "x")):
        monkeypatch.setenv(name, value)

    found = settings.environment(file)

    assert ["of the environment", "of the file", None, None, "x"] == [found.get(f"{name}_TOKEN") for name in "ABCDE"]
    assert "x" == settings.environment(tmp_path / "none")["E_TOKEN"]


def test_settings_table() -> None:
    """The table has one row for every setting, with a description, and no cell is split in two."""
    head, line, *rows = settings.table().splitlines()

    assert "| setting | default | what it is |" == head
    assert [name.upper() for name in Settings.model_fields] == [row.split("`")[1] for row in rows]
    assert {4} == {row.replace("\\|", "").count("|") for row in (head, line, *rows)}
    assert "| `ORIGINS` | `*` |" in "\n".join(rows)
    assert "| `REDIS_URL` |  |" in "\n".join(rows)
    assert [] == [name for name, field in Settings.model_fields.items() if not field.description]

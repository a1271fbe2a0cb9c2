from pathlib import Path

import pytest

from server import settings
from server.counter import Rules
from server.model import SiteId
from tests.rig.settings import Write, refused

INSTANCE = "5F0E4D3C-1111-4111-8111-00000000B001"
SITE_ID = "7c9e6679-2222-4222-8222-00000000c001"


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
        line.split()[0].rstrip(":") for line in lines
    }


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("PORT=http", "'http' is not a whole number from 0 to 65535: write one, such as 8000"),
        ("PORT=-1", "'-1' is not a whole number from 0 to 65535"),
        ("LOW_AT=-1", "'-1' is not a whole number of at least 0: write one, such as 10"),
        ("TRACK=some", "'some' is not one of all, watched: write one, such as all"),
        ("LOG_LEVEL=loud", "is not one of DEBUG, INFO, WARNING, ERROR"),
        ("WATCH_EVERY=0", "'0' is not a number of at least 1"),
        ("RECONCILE=inf", "'inf' is not a number of at least 5"),
        ("MAX_STALE=nan", "'nan' is not a number of at least 5"),
        ("HISTORY_DAYS=0", "'0' is not a number above 0: write one, such as 30"),
        ("WATCH_EVERY=90", "WATCH_EVERY=90 is not below MAX_STALE=90"),
        ("SHOW_AT_MOST=3", "LOW_AT=10 is above SHOW_AT_MOST=3, so"),
        ("WIX_SITES=abc", "'abc' is not an app instance id, nor `instance id=site id`"),
        (f"WIX_SITES={INSTANCE}=x", "is not an app instance id"),
        (f"WIX_SITES={INSTANCE}={SITE_ID}={SITE_ID}", "is not an app instance id"),
        ("PUBLIC_URL=shop.example", "'shop.example' is not an http or https address"),
        ("WIX_API_URL=file:///etc/passwd", "is not an http or https address"),
        ("REDIS_URL=localhost:6379", "must start with one of redis://, rediss://, unix://, redis+cluster://"),
        ("REDIS_URL=redis://localhost:port", "cannot be read: write it as redis://:password@host:6379/0"),
        ("REDIS_URL=redis://localhost/staging", "must be the number of a database: write it as in redis://host:6379/0"),
        ("REDIS_URL=redis+cluster://localhost/3", "a cluster has only database 0"),
        ("REDIS_URL=redis+cluster://localhost?db=3", "set REDIS_PREFIX instead"),
        ("REDIS_PREFIX=a:b", "'a:b' is no prefix: write 1 to 40 letters (a-z, A-Z), digits, `_`, `-` or `.`"),
        ("REDIS_PREFIX={tc}", "'{tc}' is no prefix"),
        (f"REDIS_PREFIX={'a' * 41}", "is no prefix: write 1 to 40 letters"),
        (
            "ORIGINS=shop.example",
            "'shop.example' is not an origin: write scheme and host alone, as in https://www.example.com",
        ),
        ("ORIGINS=https://shop.example/page", "is not an origin"),
        ("ORIGINS=https://shop.example?x", "is not an origin"),
        ("ORIGINS=https://shop.example:port", "is not an origin"),
        ("ORIGINS=https://a.example; script-src x", "is not an origin"),
        ("ORIGINS=https://bücher.example", "is not an origin"),
        ("ORIGINS=https://a.*.example", "a wildcard at another place than that of sub-domains"),
        ("ORIGINS=https://*", "a wildcard at another place than that of sub-domains"),
        ("ORIGINS=*.example.com", "a wildcard at another place than that of sub-domains"),
        ("ORIGINS=,", "it names no origin: write `*` for all"),
        (
            "TRUSTED_PROXIES=nginx",
            "'nginx' is not an address or a network: write numbers, such as 127.0.0.1 or 10.0.0.0/8",
        ),
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


def test_values_in_any_case(from_file: Write) -> None:
    """A value of a few words may be in any case."""
    found = from_file("LOG_LEVEL=debug", "LOG_FORM=JSON", "TRACK=Watched")

    assert ("DEBUG", "json", "watched") == (found.log_level, found.log_form, found.track)
    assert "WARNING" == from_file("LOG_LEVEL=warn").log_level


def test_given_values_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command gives wins over the environment and the file; without a file there are both."""
    (tmp_path / ".env").write_text("LOW_AT=5\nPORT=8001\n")
    monkeypatch.setenv("WEB_PROCESSES", "2")

    found = settings.load(_env_file=tmp_path / ".env", port=8002, web_processes=3)

    assert (5, 8002, 3) == (found.low_at, found.port, found.web_processes)
    assert (10, 2) == ((bare := settings.load(_env_file=None)).low_at, bare.web_processes)


def test_misspelt_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Misspelt settings are found in the environment, unless the right name has a value somewhere, and in the `.env` file."""
    (tmp_path / ".env").write_text("MAX_CONECTIONS=5\nLOW_AT=3\nPORT=\n")
    monkeypatch.setenv("WATCH_EVRY", "5")
    monkeypatch.setenv("LOWAT", "5")

    assert [("MAX_CONECTIONS", "MAX_CONNECTIONS"), ("WATCH_EVRY", "WATCH_EVERY")] == settings.misspelt(
        tmp_path / ".env"
    )


def test_environment_comes_before_the_file(from_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of the environment wins over one of the `.env` file, unless it is empty."""
    monkeypatch.setenv("LOW_AT", "7")
    monkeypatch.setenv("PORT", "")

    found = from_file("LOW_AT=5", "port=8001")

    assert (7, 8001) == (found.low_at, found.port)


def test_dotenv_file_is_not_text(tmp_path: Path) -> None:
    """A `.env` file that is not text is named."""
    (tmp_path / ".env").write_bytes(b"PORT=\xff\xfe\n")

    assert "the file .env cannot be read as UTF-8 text" in refused(lambda: settings.load(_env_file=tmp_path / ".env"))


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


@pytest.mark.parametrize(
    ("lines", "url"),
    [
        ("ROOT_PATH=/counter", None),
        ("PUBLIC_URL=https://a.example/", "https://a.example"),
        ("PUBLIC_URL=https://a.example\nROOT_PATH=/counter", "https://a.example/counter"),
        ("PUBLIC_URL=https://a.example/counter\nROOT_PATH=/counter", "https://a.example/counter"),
    ],
)
def test_address_of_our_pages(from_file: Write, lines: str, url: str | None) -> None:
    """Our pages are at PUBLIC_URL, with ROOT_PATH once."""
    assert url == from_file(lines).pages_url


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ("PUBLIC_URL=https://counter.example\nROOT_PATH=c\n", "https://counter.example/c"),
        ("HOST=0.0.0.0\nPORT=8123\n", "http://127.0.0.1:8123"),
        ("HOST=::1\nROOT_PATH=c\n", "http://[::1]:8000/c"),
    ],
)
def test_address_for_browsers(from_file: Write, lines: str, address: str) -> None:
    """Browsers find the widget at PUBLIC_URL, and without it at an address of this machine."""
    assert address == from_file(lines).address


def test_trailing_slash_of_urls(from_file: Write) -> None:
    """URLs to which paths are appended lose their trailing slash."""
    found = from_file("PUBLIC_URL=https://tickets.example/", "WIX_API_URL=http://127.0.0.1:9/")

    assert ("https://tickets.example", "http://127.0.0.1:9") == (found.public_url, found.wix_api_url)


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

import pytest

from server.setting_names import misspelt
from server.settings import Settings

ALL = [name.upper() for name in Settings.model_fields]


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("MAX_CONECTIONS", "MAX_CONNECTIONS"),
        ("max_conections", "MAX_CONNECTIONS"),
        ("MAX_CONNECTION_PER_ADDRESS", "MAX_CONNECTIONS_PER_ADDRESS"),
        ("ORIGIN", "ORIGINS"),
        ("PUBLIC_ULR", "PUBLIC_URL"),
        ("REDIS_URI", "REDIS_URL"),
        ("TRUSTED_PROXY", "TRUSTED_PROXIES"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("LOG-LEVEL", "LOG_LEVEL"),
        ("WATCH_EVRY", "WATCH_EVERY"),
        ("WIX_SITE", "WIX_SITES"),
        ("WIX_SECRET", "WIX_APP_SECRET"),
        ("WIX_PUBLICKEY", "WIX_PUBLIC_KEY"),
        ("NOTIFY_KEY", "NOTIFY_KEYS"),
    ],
)
def test_nearest_setting(name: str, setting: str) -> None:
    """A misspelt name is told with the setting that was meant."""
    assert [(name, setting)] == misspelt([name, "HOME"], [], ALL, [])


def test_names_that_other_programs_have() -> None:
    """Settings, and what other programs, systems and the project's own files have in the environment, are no misspelt settings."""
    others = [
        "HOSTNAME",
        "HOSTS",
        "PATH",
        "HOME",
        "LANG",
        "TERM",
        "SHELL",
        "PWD",
        "SHLVL",
        "REDIS_HOST",
        "REDIS_PORT",
        "REDIS_TLS_URL",
        "METRICS_PORT",
        "LOGNAME",
        "PUBLIC_IP",
        "DATABASE_URL",
        "NOTIFY_SOCKET",
        "PRETIX_MAIN_TOKEN",
        "MAILMAN_PASSWORD",
        "TRACE",
        "HISTFILE",
        "HISTSIZE",
        "PYTHONPATH",
        "WIX_CONTACTS_API_KEY",
        "NOTIFY_MAILMAN_PASSWORD",
        "HTTP_PROXY",
        "NO_PROXY",
        "http_proxy",
        "WEB_CONCURRENCY",
        "PORTS",
        "PROMETHEUS_MULTIPROC_DIR",
        "POD",
    ]

    assert [] == misspelt([*others, *ALL, *(name.lower() for name in ALL)], [], ALL, ALL)


def test_setting_that_has_a_value_itself() -> None:
    """While a setting has a value, a name near it in the environment belongs to another program; in `.env` it is misspelt all the same."""
    assert [] == misspelt(["REDIS_URI"], ["redis_url"], ALL, ["REDIS_URL"])
    assert [("REDIS_URI", "REDIS_URL")] == misspelt(["REDIS_URI"], ["REDIS_URL"], ALL, [])
    assert [("REDIS_URI", "REDIS_URL")] == misspelt([], ["REDIS_URI", "REDIS_URL"], ALL, ["REDIS_URL"])
    assert [] == misspelt([], [], ALL, [])

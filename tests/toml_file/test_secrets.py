from typing import Any

import pytest

from server.toml_file import secrets

SECRET = "hunter2hunter2"


class Faults:
    """What was noted, with its path."""

    def __init__(self) -> None:
        self.found: list[tuple[str, ...]] = []

    def add(self, text: str, *path: str) -> None:
        self.found.append((*path, text))


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({}, ('token_env is missing: name the variable that has the secret, as "MY_TOKEN"',)),
        *(
            (
                {"token_env": value},
                (
                    "token_env",
                    "token_env is the name of a variable in capitals, such as MY_TOKEN, and never the secret itself",
                ),
            )
            for value in (SECRET, 3, "", "A B")
        ),
        (
            {"token_env": "NONE"},
            ("token_env", "token_env: NONE is not set: put it into the environment or into .env"),
        ),
        (
            {"token_env": "QUOTED"},
            ("token_env", "token_env: the value of QUOTED has characters that no secret has: copy it again"),
        ),
    ],
)
def test_secret_that_is_wrong(table: dict[str, Any], fault: tuple[str, ...]) -> None:
    """A secret that is missing, or not named, or cannot be one, is told with the cure, and never shown."""
    faults = Faults()

    assert "" == secrets.named_secret(table, "token_env", "MY_TOKEN", {"QUOTED": f"“{SECRET}”"}, faults.add)
    assert [fault] == faults.found


def test_secret_of_the_environment() -> None:
    """A secret is the value of the variable that is named, which may be two with a blank between."""
    faults = Faults()

    for value in (SECRET, f"{SECRET} {SECRET}x"):
        assert value == secrets.named_secret({"token_env": "A1_B"}, "token_env", "X", {"A1_B": value}, faults.add)
    assert [] == faults.found


def test_example_of_a_variable() -> None:
    """The example of a variable is made of the table's name and the key."""
    assert "BOX_OFFICE_2_TOKEN" == secrets.variable("box-office-2", "token_env")


@pytest.mark.parametrize(
    ("table", "paths"),
    [
        ({"a": f"x{SECRET}", "b": SECRET[:-1]}, [("a",)]),
        ({"a": {"b": [["whsec_x"]]}}, [("a", "b")]),
        ({SECRET: 1}, [(SECRET,)]),
        ({"a": 3, "b": ["c"]}, []),
    ],
)
def test_secret_that_stands_in_the_file(table: dict[str, Any], paths: list[tuple[str, ...]]) -> None:
    """A secret is found wherever it stands in a table: as a value, in a list, as a key."""
    faults = Faults()
    secrets.check_texts(table, SECRET, faults.add)

    text = "a secret stands in this file: put it into the environment, and change it"
    assert [(*path, f"{path[0]}: {text}") for path in paths] == faults.found


def test_short_secret_is_not_looked_for() -> None:
    """A secret of less than eight characters may be a word that stands in the file by chance; so may an empty one."""
    faults = Faults()
    for secret in ("", "secret"):
        secrets.check_texts({"a": "secretary"}, secret, faults.add)

    assert [] == faults.found


def test_keys_like_a_secret() -> None:
    """Keys behind which people put secrets are known, and told which key names the variable."""
    assert all(map(secrets.LIKE_A_SECRET.fullmatch, ("token", "api_key", "Password", "secret", "authorization")))
    assert not any(map(secrets.LIKE_A_SECRET.fullmatch, ("token_env", "tokens", "name")))
    assert (
        "password: no secret belongs into this file: put it into the environment or .env, and name the variable: "
        'password_env = "A"' == secrets.no_secret_here("password", "password_env", "A")
    )

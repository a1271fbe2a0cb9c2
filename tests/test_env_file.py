import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.env_file import names_given_twice, unread_lines, variables

PEM = (
    rsa.generate_private_key(65537, 2048)
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
    .strip()
)
WRAPPED = base64.encodebytes(PEM.encode()).decode().strip()
OF_OPENSSL = "\n".join(base64.b64encode(PEM.encode()).decode()[at : at + 64] for at in range(0, 700, 64)).strip()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a file `.env`."""
    return tmp_path / ".env"


@pytest.mark.parametrize("value", [PEM, WRAPPED, OF_OPENSSL], ids=["pem", "base64", "base64-of-openssl"])
@pytest.mark.parametrize("before", ["", "export "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_key_of_several_lines_without_quotes(path: Path, before: str, value: str, end: str) -> None:
    """A key of several lines is one value without quotes, and what stands before and after it is read as ever."""
    text = f"FIRST=1\n{before}KEY={value}\nHOST=\nORIGINS=\nLAST = 'a b' # comment\n"
    path.write_bytes(text.replace("\n", end).encode())

    found = variables(path)

    assert {"FIRST": "1", "KEY": value, "HOST": "", "ORIGINS": "", "LAST": "a b"} == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'KEY="{PEM}"\nB=2\n', {"KEY": PEM, "B": "2"}),
        (f"KEY='{PEM}'\nB=2\n", {"KEY": PEM, "B": "2"}),
        (f"KEY={WRAPPED.replace(chr(10), '')}\nHOST=\n", {"KEY": WRAPPED.replace("\n", ""), "HOST": ""}),
        ("A=-----BEGIN PUBLIC KEY-----\nB=2\n", {"A": "-----BEGIN PUBLIC KEY-----", "B": "2"}),
        ("\ufeffA=1\n", {"A": "1"}),
        ("A=1\nB=https://${A}.example\n", {"A": "1", "B": "https://1.example"}),
        ("A\nB=\n", {"A": None, "B": ""}),
        ("", {}),
    ],
    ids=[
        "in-quotes",
        "in-single-quotes",
        "base64-on-one-line",
        "first-line-only",
        "byte-order-mark",
        "variable-of-another",
        "without-value",
        "empty",
    ],
)
def test_lines_of_the_file(path: Path, text: str, expected: dict[str, str | None]) -> None:
    """Any other file is read as python-dotenv reads it, and a byte order mark is no part of a name."""
    path.write_text(text)

    assert expected == variables(path)


def test_lines_that_set_nothing(path: Path) -> None:
    """Lines that are not NAME=value are told by their numbers, also behind a key of several lines; comments are none of them."""
    path.write_text(f"A=1\n# comment\n\nKEY={PEM}\nPORT : 80\nset B=2\nC\nD=\n")
    after = 4 + PEM.count("\n") + 1

    assert [after, after + 1, after + 2] == unread_lines(path)
    assert {"A": "1", "KEY": PEM, "C": None, "D": ""} == variables(path)
    assert [] == unread_lines(path.parent / "none")


def test_names_given_twice(path: Path) -> None:
    """A name that has two values is told, in capitals and once; one that is repeated, empty or commented out is not."""
    path.write_text("PORT=80\nA=1\nport=81\nPORT=82\nB=2\nB=2\nC=3\nC=\n#A=4\na=5\n")

    assert ["A", "PORT"] == names_given_twice(path)
    assert [] == names_given_twice(path.parent / "none")


def test_file_that_is_not_there(tmp_path: Path) -> None:
    """No file has no variables; one that is not text raises an error."""
    assert {} == variables(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"A=\xff\n")
    with pytest.raises(UnicodeDecodeError):
        variables(tmp_path / "binary")

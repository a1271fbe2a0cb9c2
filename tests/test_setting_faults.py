import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from server.errors import NotStarted
from server.setting_faults import MOST_ENTRIES, SettingFault, UnusableValue, WrongSettings, of_entries, wrong_settings
from tests.rig.settings import Write


class Some(BaseModel):
    """Settings of each type whose faults pydantic finds."""

    token: SecretStr | None = None
    many: int | None = None
    text: str = "abc"
    flag: bool = False


def faults(**given: object) -> dict[str, SettingFault]:
    """What is wrong with these, by setting."""
    with pytest.raises(ValidationError) as caught:
        Some.model_validate(given)
    return {one.setting: one for one in wrong_settings(caught.value, Some.model_fields).faults}


def test_all_faults_of_a_start(from_file: Write) -> None:
    """Each fault has its setting, what is wrong and the cure, and the text has all of them."""
    with pytest.raises(WrongSettings) as caught:
        from_file("PORT=many", "ORIGINS=one.example,two.example", "WIX_API_KEY=key", "WIX_APP_ID=app")

    wrong = {one.setting: one for one in caught.value.faults}
    assert {"PORT", "ORIGINS", "WIX_API_KEY"} == wrong.keys()
    assert ("'many' is not a whole number from 0 to 65535", "write one, such as 8000") == (
        wrong["PORT"].what,
        wrong["PORT"].cure,
    )
    assert "PORT: 'many' is not a whole number from 0 to 65535" == wrong["PORT"].named
    assert "WIX_API_KEY and WIX_APP_ID or WIX_APP_SECRET are set" == wrong["WIX_API_KEY"].named
    assert str(caught.value).splitlines() == ["these settings cannot be used:", *(f"  {one}" for one in wrong.values())]
    assert isinstance(caught.value, NotStarted)


def test_what_pydantic_finds_in_our_words() -> None:
    """Each type is told in words; a secret is not shown, and a long value is cut."""
    found = faults(token=["hush"], many="m" * 100, text=3, flag="perhaps")

    assert "TOKEN: it is not a text: write one, or leave it empty" == str(found["TOKEN"])
    assert f"MANY: '{'m' * 59}… is not a whole number: write one, or leave it empty" == str(found["MANY"])
    assert "TEXT: 3 is not a text: write one, such as abc" == str(found["TEXT"])
    assert "FLAG: 'perhaps' is not true or false: write one, such as false" == str(found["FLAG"])


def test_entries_that_are_not_named() -> None:
    """A long list of bad entries names the first ones, each once, and counts the others."""
    every = [UnusableValue(f"'{number}' is bad", "write another") for number in (0, *range(MOST_ENTRIES + 2))]

    with pytest.raises(UnusableValue) as several:
        of_entries(every)
    with pytest.raises(UnusableValue) as one_more:
        of_entries(every[:-1])

    assert (
        "'0' is bad; '1' is bad; '2' is bad; '3' is bad; '4' is bad; 2 more entries cannot be used"
        == several.value.what
    )
    assert "write another" == several.value.cure
    assert one_more.value.what.endswith("'4' is bad; 1 more entry cannot be used")


def test_list_without_a_fault() -> None:
    """Where every entry can be used, nothing is raised."""
    assert of_entries([]) is None  # type: ignore[func-returns-value]

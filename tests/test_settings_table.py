from server.settings import Settings
from server.settings_table import table


def test_one_row_a_setting() -> None:
    """The table has one row for every setting, with a description, and no cell is split in two."""
    head, line, *rows = table().splitlines()

    assert "| setting | default | what it is |" == head
    assert {name.upper() for name in Settings.model_fields} == {row.split("`")[1] for row in rows}
    assert len(Settings.model_fields) == len(rows)
    assert {4} == {row.replace("\\|", "").count("|") for row in (head, line, *rows)}
    assert "| `ORIGINS` | `*` |" in "\n".join(rows)
    assert "| `REDIS_URL` |  |" in "\n".join(rows)
    assert [] == [name for name, field in Settings.model_fields.items() if not field.description]

"""All settings as a Markdown table, which `ticket-counter settings` prints and the README contains.

In: the fields of Settings. Out: text.
"""

from server.notify_settings import NotifySettings
from server.settings import Settings


def table() -> str:
    """One row for each setting: its name, its default, what it is."""
    rows = ["| setting | default | what it is |", "| --- | --- | --- |"]
    # Those of notify come last, though they are inherited.
    names = sorted(Settings.model_fields, key=lambda name: name in NotifySettings.model_fields)
    for name in names:
        field = Settings.model_fields[name]
        default = field.default
        text = ",".join(default) if isinstance(default, tuple) else "" if default is None else str(default)
        shown = f"`{text}`" if text else ""
        rows.append(f"| `{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)

"""A duration in words, as short as a finding needs it."""

UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def ago(seconds: float) -> str:
    """How long ago: `3 min ago`."""
    for size, name in UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {name} ago"
    return "just now"

from server.doctor.finding import Finding, Level


def test_levels_of_findings() -> None:
    """A finding is right, worth knowing, or a fault with its reason and its cure."""
    assert Finding("redis", Level.OK, "it answers") == Finding.ok("redis", "it answers")
    assert Finding("redis", Level.NOTICE, "a", "b", "c") == Finding.notice("redis", "a", "b", "c")
    assert Finding("redis", Level.FAULT, "a", "b", "c") == Finding.fault("redis", "a", "b", "c")


def test_json_of_a_finding() -> None:
    """As JSON each finding has the same members, which are texts."""
    expected = {"check": "redis", "level": "ok", "what": "it answers", "why": "", "cure": ""}
    assert expected == Finding.ok("redis", "it answers").json()

from server.toml_file.faults import Faults, did_you_mean, quoted


def test_faults_in_the_order_of_their_lines() -> None:
    """Each fault has the line of its key, or of the table around it; they stand in this order, each once."""
    faults = Faults("sync.toml", {("a",): 2, ("a", "b"): 7})
    assert not faults
    for text, path in (("late", ("a", "b")), ("early", ("a", "x")), ("late", ("a", "b")), ("first", ())):
        faults.add(text, *path)

    assert 4 == len(faults)
    assert ["sync.toml:1: first", "sync.toml:2: early", "sync.toml:7: late"] == faults.texts()


def test_did_you_mean() -> None:
    """A misspelt word is answered with the one that is most like it, in any case; any other with all that there are."""
    choices = ("price", "policyText", "name")

    assert "Did you mean price?" == did_you_mean("prise", choices)
    assert "Did you mean price?" == did_you_mean("PRICE", choices)
    assert "Did you mean policyText?" == did_you_mean("policyTxt", choices)
    assert "There are name, policyText, price." == did_you_mean("xyz", choices)


def test_words_are_cut() -> None:
    """A word of the file is shown in quotes, on one line, with at most 40 characters."""
    assert ('"a\\nb"', f'"{"x" * 40}"', f'"{"x" * 39}…"') == (quoted("a\nb"), quoted("x" * 40), quoted("x" * 41))


def test_values_that_are_no_text() -> None:
    """A boolean and a number are shown as TOML writes them."""
    assert ["true", "false", "3", "1.5", '"True"'] == [quoted(one) for one in (True, False, 3, 1.5, "True")]


def test_control_characters_are_written_out() -> None:
    """A name of the file cannot control the terminal that a fault is shown on."""
    faults = Faults("sync.toml", {})
    faults.add("\x1b[31mred\u202e\n is no name")

    assert [r"sync.toml:1: \u001b[31mred\u202e\u000a is no name"] == faults.texts()


def test_secrets_are_hidden() -> None:
    """A secret that stands in the file is shown in no fault: one that is known, and any that looks like one."""
    faults = Faults("sync.toml", {})
    faults.hide("")
    faults.hide("hunter2")
    faults.add('mode is "hunter2"; url is "whsec_MfKQ9r8+KY/q="')

    assert ['sync.toml:1: mode is "…"; url is "whsec_…"'] == faults.texts()

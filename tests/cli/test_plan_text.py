import re
from dataclasses import replace

import pytest

from server.cli.plan_text import View, cure, next_line, plan_lines
from server.cli.table import columns_of
from server.cli.terminal import Terminal
from server.sync.model import NOT_KNOWN, Kind, Operation, OptionChange, Plan, Reason, TargetEvent
from tests.rig.sync_samples import (
    ADOPT,
    CONFLICT,
    CREATE,
    DEACTIVATE,
    MEANING,
    NOW,
    PLAN,
    UPDATE,
    change,
    option,
    plan,
    ticket,
)

pytestmark = pytest.mark.usefixtures("local_time")

WIDE = Terminal(200)
ELSEWHERE = Terminal()


def shown(found: Plan, terminal: Terminal = WIDE, event: str = "spring-gala") -> list[str]:
    return list(plan_lines(found, event, View(terminal, MEANING, NOW)))


def test_plan_on_a_terminal() -> None:
    """A plan shows a symbol and a word for each operation, what it is about, and field by field what would change and why."""
    assert (
        """\
Spring Gala → pretix-main (wixorg/ev1, EUR)        Wix read 10:02:11, pretix-main read 10:02:12, both to the end
+ create      Family day          22222222   3 options, 8.50 to 20.00 EUR, limit 60
@ adopt       Early bird          77777777   record 41: same name, no id yet; would change price 15.00 → 18.00
~ update      General admission   11111111   record 12
                price   25.00 → 27.50   changed in Wix
                limit   120 → 100       edited in pretix-main; 100 was applied
! conflict    Pay what you like   44444444   records 18 and 44 bear its id; 44 is younger and looks like a copy
                decide: ticket-counter sync adopt 44444444-2222-4333-8444-555555555555 --to pretix-main --record 18
- deactivate  Friends             33333333   record 15: deleted in Wix; 12 orders, so it stays and is taken off sale
245 equal. 9 records of pretix-main bear no id of ours and are left alone.
1 create, 1 adopt, 1 update, 1 deactivate; 1 conflict stays as it is; 1 edit made by hand would be overwritten. Plan DIGEST
""".replace("DIGEST", PLAN.digest).splitlines()
        == shown(PLAN)
    )


def test_command_of_a_plan() -> None:
    """Below a plan stands the command that does it, with what it needs; none where nothing would be done."""
    digest = PLAN.digest

    assert f"To do it: ticket-counter sync apply spring-gala --to pretix-main --plan {digest} --adopt" == next_line(
        PLAN, "spring-gala", observe=False, site=None
    )
    only = plan(UPDATE)
    assert f"To do it: ticket-counter sync apply 'a b' --to pretix-main --plan {only.digest} --site s" == next_line(
        only, "a b", observe=False, site="s"
    )
    assert 'pretix-main has mode = "observe": nothing is ever written to it.' == next_line(
        PLAN, "e", observe=True, site=None
    )
    assert next_line(plan(CONFLICT), "e", observe=False, site=None) is None


def test_empty_plan() -> None:
    """A plan without operations says that there is nothing to do; the command that follows the event is still given."""
    found = plan(left_alone=1)

    assert [
        "245 equal. 1 record of pretix-main bears no id of ours and is left alone.",
        f"Nothing to do. Plan {found.digest}",
    ] == shown(found)[1:]
    assert "245 equal." == shown(plan(left_alone=0))[1]


def test_unread_tickets_and_notes() -> None:
    """A plan says which tickets it knows nothing of, and what a person should know of a record."""
    found = replace(plan(unread=1), read_at=None, notes=("Friends (15): its quota is closed",))

    head, unread, note, *_ = shown(found)
    assert head.endswith("Wix not read yet, pretix-main read 10:02:12, Wix not to the end")
    assert "1 ticket of the event was not read yet, so nothing is planned for it." == unread
    assert "Friends (15): its quota is closed" == note
    assert "3 tickets of the event were not read yet, so nothing is planned for them." in shown(plan(unread=3))


def test_ids_off_a_terminal() -> None:
    """Off a terminal ids are whole, and nothing is cut or coloured."""
    long = replace(UPDATE, name="N" * 200, fields=(change("description", "d" * 500, "x", "x"),))

    text = "\n".join(shown(plan(long), ELSEWHERE))
    assert long.ticket in text
    assert f"{'N' * 200}    {long.ticket}" in text.replace("   ", "    ", 1) or f"{'N' * 200}   {long.ticket}" in text
    assert f"x → {'d' * 500}" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [60, 80, 100])
def test_narrow_terminal(width: int) -> None:
    """On a terminal every line fits, but those with a command, which can be copied as they are; long names are cut with `…`."""
    long = replace(UPDATE, name="N" * 200, fields=(change("description", "word " * 90, "x", "x"),))

    found = shown(plan(CREATE, ADOPT, long, CONFLICT, DEACTIVATE), Terminal(width))
    commands = [line for line in found if "ticket-counter" in line]
    assert 1 == len(commands)
    # The last two lines are sentences: a terminal breaks them.
    assert [] == [line for line in found[:-2] if line not in commands and columns_of(line) > width]
    assert f"{'N' * (max(12, width // 4) - 1)}…" in "\n".join(found)


def test_ids_that_begin_alike() -> None:
    """Ids are shown whole where eight characters would not tell two apart."""
    other = replace(DEACTIVATE, ticket=UPDATE.ticket[:-1] + "0")

    found = "\n".join(shown(plan(UPDATE, other)))
    assert UPDATE.ticket in found
    assert other.ticket in found


def test_colours() -> None:
    """With colours only the symbol and its word have one, and the columns stay where they are."""
    found = shown(PLAN, Terminal(200, colour=True))

    assert "\x1b[32m+ create    \x1b[0m  Family day" in found[1]
    assert shown(PLAN) == [re.sub(r"\x1b\[\d+m", "", line) for line in found]
    assert 5 == sum("\x1b" in line for line in found)


def test_names_that_would_control_the_terminal() -> None:
    """Control characters and marks that reverse text do not reach the terminal, brackets are no markup, and columns align."""
    names = ["\x1b[31mred\x1b[0m\r\n", "[bold]x[/bold]", "🎟️ 子供 ticket", "\u202eגאלה\u202c", "{0} %s <b>"]
    operations = [replace(DEACTIVATE, name=name, ticket=ticket(place + 1)) for place, name in enumerate(names)]

    rows = shown(plan(*operations))[1:6]
    text = "\n".join(rows)
    assert not [sign for sign in text if sign in "\x1b\r\u202e\u202c"]
    assert "[bold]x[/bold]" in text
    assert "🎟️ 子供 ticket" in text
    assert "גאלה" in text
    assert "{0} %s <b>" in text
    assert 1 == len({columns_of(row[: row.index("record 15")]) for row in rows})


def test_options() -> None:
    """Options of an update are shown each: new ones with their fields, changed fields, removed ones."""
    options = (
        OptionChange(Kind.CREATE, "o1", "Child", None, (change("price", "8.50"), change("active", True))),
        OptionChange(Kind.UPDATE, "o2", "Adult", "7", (change("price", "22.00", "20.00", "21.00"),)),
        OptionChange(Kind.DEACTIVATE, "o3", "Senior", "8"),
    )
    assert [
        "                option Child          + create        price 8.50, active yes",
        "                option Adult: price   21.00 → 22.00   changed in Wix, and edited in pretix-main; 20.00 was applied",
        "                option Senior         - deactivate    removed in Wix",
    ] == shown(plan(replace(UPDATE, fields=(), options=options)))[2:5]


def test_adopt_of_many_fields() -> None:
    """An adoption that would change several fields lists them below; its command stands below the sum."""
    found = replace(ADOPT, fields=(*ADOPT.fields, change("limit", None, target=10)))

    assert [
        "record 41: same name, no id yet",
        "                price   15.00 → 18.00    it is not known what was applied",
        "                limit   10 → unlimited   it is not known what was applied",
    ] == [shown(plan(found))[1].partition("77777777   ")[2], *shown(plan(found))[2:4]]


def test_create_without_options() -> None:
    """A creation says its one price, and that there is no limit; without a currency the price stands alone."""
    found = replace(CREATE, options=(), fields=(change("default_price", "25.00"), change("size", None)))
    bare = replace(plan(found), target_event=TargetEvent("ev1", "Gala", None))

    assert shown(plan(found))[1].endswith("   25.00 EUR, unlimited")
    assert shown(bare)[1].endswith("   25.00, unlimited")
    assert "(wixorg/ev1, EUR)" in shown(plan(found))[0]
    assert "(ev1)" in shown(bare)[0]


def test_one_option() -> None:
    """One option is said in the singular, and two options of one price have one price."""
    one = replace(CREATE, fields=(), options=(option("Adult", "20.00"),))
    two = replace(CREATE, fields=(), options=(option("Adult", "20.00"), option("Child", "20.00")))

    assert shown(plan(one))[1].endswith("   1 option, 20.00 EUR")
    assert shown(plan(two))[1].endswith("   2 options, 20.00 EUR")


@pytest.mark.parametrize(
    "reason", [one for one in Reason if one not in {Reason.NEW, Reason.CHANGED, Reason.EDITED, Reason.BOTH}]
)
def test_reason_without_text(reason: Reason) -> None:
    """A conflict that brings no text of its own still says why it is one."""
    row = shown(plan(Operation(Kind.CONFLICT, ticket(1), "A", None, reason)))[1]

    assert len(row.partition("11111111   ")[2]) > 10


def test_value_that_the_target_lacks() -> None:
    """A field that the target does not tell is said so."""
    found = shown(plan(replace(UPDATE, fields=(change("limit", 5, 5, NOT_KNOWN),))))

    assert "                limit   not known → 5   pretix-main does not say what it has" == found[2]


def test_cure_names_target_and_event() -> None:
    """A command in a cure is written as it is typed, with program, target and event."""
    assert (
        "ticket-counter sync adopt X --to 'my shop' --record 1, or ticket-counter sync apply gala --to 'my shop' --adopt"
        == cure("sync adopt X --record 1, or sync apply --adopt", "my shop", "gala")
    )
    assert "ticket-counter sync apply EVENT --to shop --deactivate 37" == cure("sync apply --deactivate 37", "shop")
    assert "" == cure("", "shop", "gala")
    whole = "ticket-counter sync adopt X --to shop --record 1, or ticket-counter sync apply ball --to shop --adopt"
    assert whole == cure(whole, "shop", "gala")

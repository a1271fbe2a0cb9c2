"""The commands of `ticket-counter`: options in, texts or JSON and an exit status out.

__main__.py          `python -m server.cli`
commands.py          the program, and the commands that run the server
tickets.py           `ticket-counter tickets` and `events`: which there are, with their ids
embed.py             `ticket-counter embed`: the HTML for a page
catalog_text.py      events and tickets as text and as JSON
sites.py             `ticket-counter sites …`: lists the known sites, adds and removes one
sync.py              `ticket-counter sync …`: options, what is printed, exit statuses
sync_apply.py        `sync apply`: the plan and the question before it, the progress bar, what was done
sync_conformance.py  `sync conformance`: checks a system behind a URL
sync_service.py      opens sync for one command: SYNC_FILE, Redis, names of targets and tickets
sync_json.py         plans, outcomes, differences, status and parked tickets as JSON
plan_text.py         plans as text
diff_text.py         differences as text
status_text.py       the status of targets, parked tickets and outcomes as text
notify.py            `ticket-counter notify …`: options, what is printed, exit statuses
notify_command.py    how each command of notify begins and ends: settings, errors as lines and as JSON
notify_send.py       `notify send`: what would be sent, the question before it, what was begun
notify_watch.py      `notify status --watch`: the progress bar
notify_service.py    opens notify for one command: NOTIFY_FILE, Redis
notify_json.py       campaigns, previews and answers as JSON
notify_status_text.py  how far campaigns are, as text
notify_text.py       previews and answers as text, times and durations
ticket_ids.py        tickets as a person names them: by an id, or by how it begins
values.py            values of fields, times and durations as text
doctor.py            `ticket-counter doctor`: findings as text and as JSON
check.py             `ticket-counter check`: as doctor, for the settings and the files that they name alone
table.py             columns of text, which know how wide a character is in a terminal
terminal.py          where text goes: a terminal or not, how wide, with colours or not
start.py             what every command begins with: settings, logs, and errors as one line
"""

from server.cli.commands import app, main

__all__ = ["app", "main"]

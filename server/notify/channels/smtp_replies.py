"""What a relay's reply to a command means: whose fault it is, in words of ours.

In: a code of SMTP, the text beside it, and the command that it answers. Out: a Reply. Only the enhanced code and a wait are read in
the text, which may contain the recipient's address. Sources: RFC 5321 (4.2: codes), RFC 3463 and its registry at IANA (enhanced
codes), RFC 4954 (AUTH), RFC 3207 (STARTTLS).
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from server.notify.channels.channel import Reply, Result

LONGEST_WAIT = 3600.0
"""Seconds that a relay may have a recipient wait; what says more is not believed."""

_ENHANCED = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})(?!\d)")
_WAIT = re.compile(r"(\d{1,5})\s*(sec|min|s\b|m\b)", re.IGNORECASE)

_REASONS = {
    "1.1": "no such mailbox",
    "1.2": "no such domain",
    "1.3": "not an address",
    "1.6": "the mailbox has moved",
    "1.10": "the domain takes no mail",
    "2.0": "the mailbox takes no mail",
    "2.1": "the mailbox is disabled",
    "2.2": "the mailbox is full",
    "2.3": "the message is too long for this mailbox",
    "3.1": "the relay's disk is full",
    "3.2": "the relay takes no mail now",
    "3.4": "the message is too long for the relay",
    "4.1": "the recipient's server does not answer",
    "4.3": "the relay cannot look up the recipient's server",
    "4.4": "the relay knows no way to the recipient",
    "4.6": "mail to this recipient goes in a circle",
    "4.7": "the relay gave up after some time",
    "6.7": "the relay cannot send to an address like this",
    "7.1": "not permitted",
    "7.26": "SPF and DKIM do not authenticate the sender",
    "7.28": "too many messages",
}
_SUBJECTS = {
    "1": "the address is refused",
    "2": "the mailbox does not take it",
    "3": "the relay cannot take it",
    "4": "it cannot be delivered there",
    "5": "the relay does not understand a command",
    "6": "the relay does not take the content",
    "7": "refused by a rule",
}
"""By the second and third figure of the enhanced code, and by the second one."""
_CODES = {
    421: "the relay closes the connection",
    450: "the mailbox cannot be used now",
    451: "the relay has a fault",
    452: "the relay has no room",
    530: "the relay wants a login",
    535: "the relay refuses the login",
    550: "the mailbox is refused",
    551: "the mailbox is elsewhere",
    552: "the mailbox is full",
    553: "the address is refused",
    554: "the message is refused",
}
_OURS = {"1.7", "1.8"}
"""Enhanced codes of a bad sender's address, which is ours."""


class Command(StrEnum):
    """What a reply answers."""

    CONNECT = "connect"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"


@dataclass(frozen=True, slots=True)
class Place:
    """The relay's host, and the sender that it knows us by: both may be shown. `server`: as faults are counted."""

    server: str
    host: str
    sender: str

    def meaning(self, command: Command, code: int, text: str) -> Reply:
        """What a reply of 400 to 599 means."""
        found = _ENHANCED.match(text)
        detail = f"{found[2]}.{found[3]}" if found and found[1] == str(code)[0] else ""
        shown = f"{code} {code // 100}.{detail}" if detail else str(code)
        if command in {Command.RCPT, Command.DATA} and not _not_the_recipients(code, detail):
            again = code < 500
            reason = f"{code // 100}.{detail} {_reason(code, detail)}" if detail else f"{code} {_reason(code, detail)}"
            wait = _wait(text) if again else None
            return Reply(Result.AGAIN if again else Result.FAILED, self.server, reason, shown, retry_after=wait)
        reason = f"{self.host} {_refused(command)} ({shown} at {command})"
        if command is Command.MAIL:
            reason = f"{self.host} refused the sender {self.sender} ({shown} at MAIL)"
        return Reply(
            Result.SERVER_FAULT,
            self.server,
            f"{reason}: {_reason(code, detail)}",
            shown,
            pause=_pauses(command, code, detail),
            retry_after=_wait(text) if code < 500 else None,
            cure=self._cure(command, code),
        )

    def fault(self, command: Command, what: str, cure: str = "", *, pause: bool = False) -> Reply:
        """A fault without a reply, before DATA began: nothing was handed over."""
        cure = (
            cure
            or f"See whether the relay that NOTIFY_SMTP_URL names, {self.host}, is up and can be reached from here."
        )
        return Reply(Result.SERVER_FAULT, self.server, f"{self.host}: {what} ({command})", pause=pause, cure=cure)

    def unknown(self, what: str) -> Reply:
        """The message was handed over, and no answer came."""
        return Reply(Result.UNKNOWN, self.server, what)

    def _cure(self, command: Command, code: int) -> str:
        if command is Command.AUTH or code in {530, 534, 535, 538}:
            return f"No subscriber is at fault. Set the user and password that {self.host} knows in NOTIFY_SMTP_URL."
        if command in {Command.MAIL, Command.RCPT, Command.DATA} and code >= 500:
            return f"No subscriber is at fault. Allow the sender {self.sender} at {self.host}, or set another one (NOTIFY_FROM, NOTIFY_ENVELOPE_SENDER)."
        return f"See the log of {self.host}."


def _not_the_recipients(code: int, detail: str) -> bool:
    """Whether a reply to RCPT or DATA is the relay's fault or ours, and would have come for any recipient."""
    if code == 421 or code in {530, 535} or detail in _OURS:
        return True
    if detail:
        subject = detail.partition(".")[0]
        # 4.7.1 is how a recipient is put off for its first mail (greylisting); 5.7.1 is a rule that we do not keep.
        return (subject in {"3", "5", "6"} and detail != "6.7") or (subject == "7" and code >= 500)
    return 500 <= code <= 504


def _pauses(command: Command, code: int, detail: str) -> bool:
    """Whether all others would be refused too."""
    if code < 500:
        return False
    if command in {Command.RCPT, Command.DATA}:
        return code in {530, 535} or detail.startswith("7.") or detail in _OURS
    return True


def _refused(command: Command) -> str:
    return {
        Command.CONNECT: "does not serve us",
        Command.EHLO: "does not serve us",
        Command.STARTTLS: "does not begin TLS",
        Command.AUTH: "refused the login",
    }.get(command, "refused the message")


def _reason(code: int, detail: str) -> str:
    known = _REASONS.get(detail) or _SUBJECTS.get(detail.partition(".")[0])
    return known or _CODES.get(code) or ("not now" if code < 500 else "refused")


def _wait(text: str) -> float | None:
    """How long the relay has us wait, in seconds, where it says so: `Greylisted, try again in 300 seconds`."""
    if not (found := _WAIT.search(text)):
        return None
    seconds = float(found[1]) * (60 if found[2].lower().startswith("m") else 1)
    return seconds if 0 < seconds <= LONGEST_WAIT else None

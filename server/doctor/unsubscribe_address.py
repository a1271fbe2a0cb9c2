"""The unsubscribe address from outside: whether the link of a mail leads to our page, which can read it.

In: the public address, the keys. Out: one finding. The link is of no person and no list; the page is only opened, its button is not
pressed.
"""

from server.doctor import web
from server.doctor.finding import Finding
from server.doctor.web import NoAnswer
from server.keyring import KeyRing, Purpose

NAME = "notify"
WHY = "no one can leave the list, which the law and mail providers require: mails would count as spam"


async def found(public_url: str, keyring: KeyRing) -> Finding:
    """Open the page of a link that is like those in mails."""
    content = {"s": "doctor", "p": "doctor", "e": "doctor", "a": "nobody@example.org"}
    try:
        answer = await web.ask(f"{public_url}/u/{keyring.encrypt(Purpose.UNSUBSCRIBE, content)}")
    except NoAnswer as error:
        return Finding.fault(
            NAME, f"the unsubscribe address {public_url}/u/… cannot be reached: {error}", WHY, "see PUBLIC_URL"
        )
    if answer.status != 200 or "<main>" not in answer.body:
        what = f"the unsubscribe address {public_url}/u/… is answered {answer.status}, and not by this server"
        cure = "have the proxy pass on /u/, and set NOTIFY_KEYS for the web processes too"
        return Finding.fault(NAME, what, WHY, cure)
    if "<form" not in answer.body:
        return Finding.fault(
            NAME,
            f"the server at {public_url} cannot read the links of mails",
            WHY,
            "give the web processes and the worker the same NOTIFY_KEYS, with all former keys",
        )
    return Finding.ok(NAME, "the unsubscribe address leads to our page, which can read the links of mails")

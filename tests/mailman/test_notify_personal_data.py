"""A full run with everything that can happen to subscribers: what it leaves behind says nothing of who they are."""

import base64
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from server.keyring import new_key
from tests.rig.http_proxy import Fault, method
from tests.rig.notify_browsers import NotifyBrowsers
from tests.rig.notify_deployment import NotifyDeployment
from tests.rig.personal_data import in_files, in_redis, traces
from tests.rig.push_service import PushService, base64url
from tests.rig.redis import RedisServer, Servers
from tests.rig.sale_deployment import PATIENCE, AnnouncedEvent, Answer
from tests.rig.server import until
from tests.rig.smtp_server import CUT, Relay, relay

TOKEN = re.compile(r"https?://[^/\s]+/u/([\w=%-]+)")


@dataclass(frozen=True)
class Person:
    """A subscriber whose address and name are of words that stand nowhere else."""

    address: str
    name: str

    @property
    def values(self) -> dict[str, str]:
        """What must be found nowhere: of the address the part before the @, too."""
        local = self.address.partition("@")[0]
        return {f"address of {local}": self.address, f"local part of {local}": local, f"name of {local}": self.name}


def person(word: str, number: int) -> Person:
    return Person(f"Wilhelmina.{word}+{number}@People-of-{word}.Example", f"Wilhelmina Zwölfer-{word} {number}")


HAPPY, ONE_CLICK, BY_PAGE, REFUSED, LATER, CUT_OFF, FULL, OFF = (
    person(word, number)
    for number, word in enumerate(
        ("Quartz", "Obsidian", "Jasper", "Feldspar", "Malachite", "Turquoise", "Amethyst", "Carnelian"), 10
    )
)
ODD = Person(".wilhelmina..sardonyx@people-of-sardonyx.example", "Wilhelmina Zwölfer-Sardonyx")
MEMBERS = (HAPPY, ONE_CLICK, BY_PAGE, REFUSED, LATER, CUT_OFF, FULL, OFF, ODD)
SIGNED_UP, TESTED, MISTYPED = person("Heliotrope", 31), person("Chalcedony", 32), person("Alabaster", 33)
IN_FILE = (
    person("Lapislazuli", 41),
    person("Tourmaline", 42),
    Person("wilhelmina-peridot-no-address", "Wilma Peridot"),
)
EVERYONE = (*MEMBERS, SIGNED_UP, TESTED, MISTYPED, *IN_FILE)


class FullRun:
    """The deployment, a relay that wants a password, what commands printed, and all values that must be found nowhere."""

    def __init__(self, notify: NotifyDeployment, service: PushService, relaying: Relay, folder: Path) -> None:
        self.notify, self.service, self.folder = notify, service, folder
        self.browsers = NotifyBrowsers(notify.deployment, service)
        self.http = self.browsers.http
        self.secrets = {
            "NOTIFY_KEYS": notify.deployment.settings["NOTIFY_KEYS"],
            "old key of NOTIFY_KEYS": new_key(),
            "NOTIFY_VAPID_KEYS": self.browsers.vapid,
            "LISTS_PASSWORD": notify.deployment.settings["LISTS_PASSWORD"],
            "password of the relay": relaying.password,
            "WIX_APP_SECRET": notify.deployment.settings["WIX_APP_SECRET"],
            "METRICS_TOKEN": "token-of-metrics-0815",
        }
        notify.relay = relaying
        notify.deployment.settings |= {
            "NOTIFY_KEYS": f"{self.secrets['NOTIFY_KEYS']},{self.secrets['old key of NOTIFY_KEYS']}",
            "NOTIFY_SMTP_URL": relaying.url,
            "METRICS_TOKEN": self.secrets["METRICS_TOKEN"],
            "LOG_LEVEL": "DEBUG",
        }
        self.answers: list[tuple[str, Answer, Person | None]] = []

    async def command(self, *words: str, expected: int, about: Person | None = None) -> Answer:
        """Run a command; what it prints may name the person whose address was typed, and no other."""
        answer = await self.notify.cli(*words, LOG_LEVEL="DEBUG")
        self.answers.append((" ".join(words[:1]), answer, about))
        assert expected == answer.status, str(answer)
        return answer

    def link(self, reader: Person) -> str:
        """The path of the link to leave in the mail that somebody got."""
        [mail] = [one for one in self.notify.relay.mails if one.recipient == reader.address.lower()]
        return urlsplit(str(mail.message["List-Unsubscribe"]).strip().split(">")[0].strip("<")).path

    @property
    def values(self) -> dict[str, str]:
        """What must stand nowhere, by what it is."""
        found = dict(self.secrets)
        for one in EVERYONE:
            found |= one.values
        for number, mail in enumerate(self.notify.relay.mails):
            [token] = {one.removesuffix("=") for one in TOKEN.findall(mail.message["List-Unsubscribe"])}
            found |= {f"token {number}": token, f"part of token {number}": token[-60:-20]}
        for number, browser in enumerate(self.browsers.all):
            found |= {
                f"endpoint {number}": browser.path,
                f"auth {number}": base64url(browser.auth),
                f"p256dh {number}": browser.p256dh,
                f"p256dh {number}, as base64": base64.b64encode(
                    base64.urlsafe_b64decode(f"{browser.p256dh}=")
                ).decode(),
            }
            if self.browsers.messages(browser):
                found[f"confirmation {number}"] = self.browsers.token(browser).removesuffix("=")
        return found

    async def read(self, path: str) -> bytes:
        """What the web process answers who has the token of METRICS_TOKEN."""
        bearer = {"authorization": f"Bearer {self.secrets['METRICS_TOKEN']}"}
        answer = await self.http.get(path, headers=bearer)
        assert 200 == answer.status_code, answer.text
        return answer.content

    def logs(self) -> dict[str, bytes]:
        """What each process printed, commands aside."""
        return {
            f"{one.words[0]} {number}": (one.err + one.out).encode()
            for number, one in enumerate(self.notify.deployment.processes)
            if one.words[0] != "notify"
        }


@pytest.fixture
async def full_run(notify: NotifyDeployment, push_service: PushService, tmp_path: Path) -> AsyncIterator[FullRun]:
    """A deployment with a relay that wants a password, and a push service."""
    with relay(user="mailer", password="a-password-of-the-relay") as relaying:
        found = FullRun(notify, push_service, relaying, tmp_path)
        yield found
        await found.browsers.aclose()


async def events(run: FullRun) -> tuple[AnnouncedEvent, AnnouncedEvent]:
    """One event whose readers are on a list of Mailman, with push, and one whose readers are in a file."""
    notify = run.notify
    list_id = await notify.mailman.new_list()
    for one in MEMBERS:
        answer = await notify.mailman.subscribe(list_id, one.address, display_name=one.name)
        assert 201 == answer.status_code, answer.text
    await notify.mailman.prefer(list_id, OFF.address, delivery_status="by_user")
    listed = await notify.add_event(list_id, push=True)
    filed = await notify.add_event("no list", title="Autumn Gala")
    lines = "".join(f'{one.address},"{one.name}",de,yes\n' for one in IN_FILE)
    (run.folder / "readers.csv").write_text(f"email,name,language,confirmed\n{lines}", encoding="utf-8")
    text = notify.file.read_text().replace('tool = "lists"\nlist = "no list"\n', 'tool = "file"\n')
    notify.file.write_text(f'{text}[tools.file]\nkind = "csv"\nfile = "readers.csv"\n')
    return listed, filed


def misbehave(run: FullRun) -> None:
    """The relay repeats addresses in its replies, as real ones do, and Mailman in its errors."""
    relaying, proxy = run.notify.relay, run.notify.proxy
    folded = {one: one.address.lower() for one in MEMBERS}
    said = {one: f"<{one.address}> ({one.name}): {base64.b64encode(one.address.encode()).decode()}" for one in MEMBERS}
    relaying.on("mail", f"451 4.3.0 no room now for {said[HAPPY]}".encode("ascii", "replace").decode(), times=1)
    for who, phase, reply in (
        (REFUSED, "rcpt", "550 5.1.1"),
        (LATER, "rcpt", "450 4.2.0"),
        (FULL, "dot", "552 5.2.2"),
    ):
        text = said[who].encode("ascii", "replace").decode()
        relaying.on(phase, f"{reply} {text}", recipient=folded[who])  # type: ignore[arg-type]
    relaying.on("dot", CUT, recipient=folded[CUT_OFF])
    body = f'{{"title": "500", "description": "{said[HAPPY]} {said[ONE_CLICK]} {said[BY_PAGE]}"}}'.encode()
    for verb, path in (("GET", "/preferences"), ("POST", "/members/find"), ("DELETE", "")):
        proxy.add(Fault(500, body=body, meets=method(verb, path), times=1))
    proxy.add(Fault(500, body=body, meets=method("GET", "/members/find"), times=3))
    proxy.add(Fault(cut=True, meets=method("POST", "/members"), times=1))


async def counts(run: FullRun, event: AnnouncedEvent, channel: str, **expected: int) -> None:
    """Wait until a campaign has come to these numbers."""
    found: Mapping[str, str] = {}

    async def equal() -> bool:
        nonlocal found
        found = await run.notify.campaign(event, channel)
        return expected == {name: int(found.get(name, 0)) for name in expected}

    try:
        await until(equal, PATIENCE)
    except AssertionError:
        raise AssertionError(f"{channel} is {found}") from None


async def test_nothing_of_a_person_is_left_behind(full_run: FullRun) -> None:
    """Law 18: After a run with all that can happen, no log, key, file of Redis, metric or output has anything of a person, or a secret."""
    run, notify, browsers = full_run, full_run.notify, full_run.browsers
    listed, filed = await events(run)
    misbehave(run)
    await notify.serve()
    notify.deployment.start("serve", PORT="0", LOG_FORM="json")  # a worker and a web process in one

    # -- browsers and addresses come, by the page --
    async def signed_up() -> bool:
        return (
            await browsers.post("sign-up", listed.slug, address=SIGNED_UP.address, language="de")
        ).status_code == 200

    await until(signed_up, 30)
    wrong = await browsers.post("sign-up", listed.slug, address=f"{MISTYPED.address} {MISTYPED.name}")
    assert 400 == wrong.status_code
    assert [] == traces({"answer": wrong.content}, MISTYPED.values)
    shown, gone, cut, off, never = [await browsers.subscribe(listed.slug, run.service) for _ in range(5)]
    for browser in (shown, gone, cut, off):
        await browsers.confirm(listed.slug, browser)
    assert 200 == (await browsers.post("unsubscribe", listed.slug, endpoint=off.endpoint)).status_code
    assert 400 == (await browsers.post("confirm", listed.slug, token=f"x{browsers.token(off)}")).status_code
    forged = {**never.json(), "endpoint": f"https://push.example.org/{never.path}"}
    assert 400 == (await browsers.post("subscribe", listed.slug, subscription=forged, key=browsers.key)).status_code
    await until(lambda: _asked(run), 30)
    gone.gone = True
    run.service.behave(endpoint=cut.endpoint, cut=True)

    # -- the sale --
    preview = ("preview", listed.slug, "--to", str(run.folder / "preview"))
    await run.command(*preview, expected=2)  # the page of members was answered 500, as the first one of the campaign is
    for expected in (4, 0):  # the relay refuses the first one
        await run.command("test", TESTED.address, "--event", listed.slug, expected=expected, about=TESTED)
    await run.command("test", f"{MISTYPED.address} and others", expected=2, about=MISTYPED)
    await notify.start_sale(listed)
    await counts(run, listed, "mail", sent=4, failed=2, skipped=1, unknown=1, waiting=1)
    await counts(run, listed, "push", sent=1, failed=1, unknown=1)

    # -- two leave --
    assert 200 == (await run.http.post(run.link(ONE_CLICK), data={"List-Unsubscribe": "One-Click"})).status_code
    assert 200 == (await run.http.get(run.link(BY_PAGE))).status_code
    assert 200 == (await run.http.post(run.link(BY_PAGE), headers={"origin": browsers.url})).status_code
    assert 200 == (await run.http.post(f"/u/{quote(HAPPY.address)}")).status_code
    assert 404 == (await run.http.get(f"/nothing/{quote(HAPPY.address)}?address={quote(HAPPY.address)}")).status_code
    left = {ONE_CLICK.address.lower(), BY_PAGE.address.lower()}
    await until(lambda: not left & set(notify.mailman.members(listed.list_id)), 60)

    # -- people look after it --
    await run.command(*preview, expected=0)
    status = await run.command("status", "--json", expected=0)
    [name] = [one["campaign"] for one in status.json["campaigns"] if one["campaign"].startswith(listed.slug)]
    await run.command("status", expected=0)
    await run.command("status", name, "--exit-code", expected=4)
    await run.command("status", name, "--json", expected=0)
    await run.command("stop", name, expected=0)
    await run.command("send", name, "--yes", expected=0)
    await notify.start_sale(filed)
    await notify.reached(filed, "done")
    await run.command("send", filed.slug, "--again", "--dry-run", expected=0)
    await run.command("send", filed.slug, "--again", "--yes", expected=0)
    await notify.reached(filed, "done")
    await run.command("forget", LATER.address, expected=0, about=LATER)
    await run.command("forget", MISTYPED.name, expected=2, about=MISTYPED)
    run.notify.relay.on("rcpt", f"550 5.1.1 {HAPPY.address}", recipient=TESTED.address.lower())
    await run.command("test", TESTED.address, "--event", listed.slug, expected=4, about=TESTED)

    # -- what is left --
    values = run.values
    stored = in_redis(notify.redis)
    places = {**run.logs(), **stored, **await in_files(notify.redis)}
    for path in ("/metrics", "/readyz", "/v1/counters?event=" + listed.slug):
        places[path] = await run.read(path)
    await _stop(notify)
    places |= run.logs()
    assert [] == traces(places, values)
    for words, answer, about in run.answers:
        others = {what: one for what, one in values.items() if about is None or what not in about.values}
        assert [] == traces({words: (answer.out + answer.err).encode()}, others)
    # It looked where there is something: at lines of DEBUG, at the rows of those people, at commands that printed.
    assert all(len(one) > 1000 for one in run.logs().values()), {name: len(one) for name, one in run.logs().items()}
    assert [] != [key for key in stored if "notify:suppressed" in key]
    assert [] != [key for key in stored if "notify:push:subscriptions" in key]
    assert b"ticketcounter_notify_messages_total" in places["/metrics"]
    for row in (await notify.rows(listed, [HAPPY.address.lower()])).values():
        assert any(row.encode() in one for key, one in stored.items() if "notify:rows" in key)


def _asked(run: FullRun) -> bool:
    """Whether Mailman was asked to sign somebody up."""
    return any(one.method == "POST" and one.path.endswith("/members") and one.status for one in run.notify.proxy.writes)


async def _stop(notify: NotifyDeployment) -> None:
    for one in notify.deployment.processes:
        if one.process.poll() is None:
            await one.stop()


@pytest.mark.parametrize("kind", ["string", "hash", "list", "set", "zset", "stream", "expired"])
async def test_the_search_finds_what_is_there(redis_server: Servers, kind: str) -> None:
    """An address in a value of any type is found in Redis and in its files, also once its key is gone."""
    server: RedisServer = redis_server()
    command = {
        "string": ("SET", "key", HAPPY.address),
        "hash": ("HSET", "key", "field", HAPPY.address.upper()),
        "list": ("RPUSH", "key", quote(HAPPY.address)),
        "set": ("SADD", "key", base64.b64encode(f"x{HAPPY.address}".encode()).decode()),
        "zset": ("ZADD", "key", "1", HAPPY.address.encode().hex()),
        "stream": ("XADD", "key", "*", "field", f"<{HAPPY.address}>"),
        "expired": ("SET", "key", HAPPY.address),
    }[kind]
    server.ask(*command)
    if kind == "expired":
        server.ask("DEL", "key")
    values = {"it": HAPPY.address}

    assert [] == traces(in_redis(server), {"another": REFUSED.address})
    assert (kind != "expired") == bool(traces(in_redis(server), values))
    found = {one.split(":")[0] for one in traces(await in_files(server), values)}
    written = {one for one in found if "as written" in one}
    assert 1 == len(written), found
    assert ("it in dump.rdb" in found) == (kind != "expired")

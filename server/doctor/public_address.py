"""PUBLIC_URL from outside: whether it leads to this deployment, with all that a page and Wix use.

In: PUBLIC_URL. Out: findings. It is asked as a visitor asks: through the proxy in front of the server. From inside some networks the
public address cannot be reached although everybody else can, which the finding says.
"""

from collections.abc import AsyncIterator
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from server.doctor import web
from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.doctor.web import Answer, NoAnswer

NAME = "address"
WITHIN = 10.0
METHOD_NOT_ALLOWED = 405
"""What the address of webhooks answers to GET."""
PROXY = "see the proxy in front of the server: README has configurations that work"


async def check(deployment: Deployment) -> AsyncIterator[Finding]:
    """Ask for all that visitors and Wix ask for."""
    settings = deployment.settings
    if (url := settings.pages_url) is None:
        yield Finding.notice(
            NAME,
            "PUBLIC_URL is not set, so that nothing was asked from outside",
            "whether visitors and Wix reach this server is not known",
            "set PUBLIC_URL to the https address of this server, such as https://tickets.example.org",
        )
        return
    if (unreachable := await _alive(url)) is not None:
        yield unreachable
        return
    async for finding in _ours(deployment, url):
        yield finding


async def _alive(url: str) -> Finding | None:
    """What is wrong where /livez is not ours."""
    why = "no visitor and no webhook reaches the server"
    try:
        answer = await web.ask(f"{url}/livez")
    except NoAnswer as error:
        inside = "If it can be reached from other networks, this machine's own network hides it, and nothing is wrong"
        return Finding.fault(
            NAME, f"{url} cannot be reached: {error}", why, f"see DNS, firewall, certificate and proxy. {inside}"
        )
    if (answer.status, answer.body.strip()) == (200, "yes"):
        return None
    if 300 <= answer.status < 400:
        to = answer.headers.get("location", "elsewhere")
        return Finding.fault(
            NAME, f"{url} redirects to {to}", why, f"set PUBLIC_URL to the address that visitors use; {PROXY}"
        )
    return Finding.fault(
        NAME,
        f"{url}/livez is answered {answer.status}, and not by this server",
        why,
        f"{PROXY}; where it publishes the server under a path, ROOT_PATH is that path, and the proxy removes it or not as README says",
    )


async def _ours(deployment: Deployment, url: str) -> AsyncIterator[Finding]:
    hook = await _answered(f"{url}/webhooks/wix")
    if hook != METHOD_NOT_ALLOWED:
        yield Finding.fault(
            NAME,
            f"{url}/webhooks/wix is answered {hook}, not as this server does",
            "webhooks of Wix do not arrive, so that a sale is seen only at the next read",
            f"have the proxy pass this path on, unchanged; {PROXY}",
        )
    found = await deployment.a_ticket()
    if found is None:
        yield Finding.ok(NAME, f"{url} leads to a ticket counter")
        return
    query = urlencode({"ticket": found[1], "site": found[0]})
    counters = f"{url}/v1/counters?{query}"
    answer = await _answer(counters)
    if isinstance(answer, str) or answer.status != 200:
        what = answer if isinstance(answer, str) else f"{answer.status} {answer.body[:200]}"
        if not isinstance(answer, str) and '"field":"site"' in answer.body.replace(" ", ""):
            cure = "set PUBLIC_URL to the address of this deployment, or REDIS_URL and REDIS_PREFIX to what the server there has"
            yield Finding.fault(
                NAME,
                f"{url} leads to another ticket counter, which does not know our site",
                "pages show no numbers",
                cure,
            )
            return
        yield Finding.fault(NAME, f"a ticket of ours cannot be read at {url}: {what}", "pages show no numbers", PROXY)
        return
    faults = [one for one in (await _stream(counters), await _websocket(counters)) if one is not None]
    for one in faults:
        yield one
    if not faults and hook == METHOD_NOT_ALLOWED:
        yield Finding.ok(NAME, f"{url} leads to this deployment, with webhooks, WebSockets and streams")


async def _answer(url: str, *, first_part: bool = False, **headers: str) -> Answer | str:
    """What this address answers, or why nothing did."""
    try:
        return await web.ask(url, first_part=first_part, timeout=WITHIN, **headers)
    except NoAnswer as error:
        return str(error)


async def _answered(url: str) -> int | str:
    answer = await _answer(url)
    return answer if isinstance(answer, str) else answer.status


async def _stream(url: str) -> Finding | None:
    """What is wrong where a stream of events does not begin at once."""
    answer = await _answer(url, first_part=True, Accept="text/event-stream")
    if not isinstance(answer, str) and answer.status == 200 and answer.body:
        return None
    what = answer if isinstance(answer, str) else f"it is answered {answer.status}"
    return Finding.fault(
        NAME,
        f"a stream of server-sent events does not come through: {what}",
        "where WebSockets are blocked, as in some networks of companies, pages are up to a minute late",
        f"have the proxy pass answers on as they come (nginx: proxy_buffering off); {PROXY}",
    )


async def _websocket(url: str) -> Finding | None:
    """What is wrong where no WebSocket opens."""
    try:
        async with connect(url.replace("http", "ws", 1), proxy=None, open_timeout=WITHIN, close_timeout=1) as socket:
            await socket.recv()
    except InvalidStatus as error:
        what = f"it is answered {error.response.status_code}"
    except WebSocketException:
        what = "what is answered is none"
    except TimeoutError:
        what = "no answer came in time"
    except OSError:
        what = "the connection was closed"
    else:
        return None
    return Finding.fault(
        NAME,
        f"a WebSocket does not come through: {what}",
        "each page has to ask again and again instead, so that numbers are late and the server has more to do",
        f"have the proxy pass on Upgrade and Connection (nginx: proxy_set_header Upgrade $http_upgrade); {PROXY}",
    )

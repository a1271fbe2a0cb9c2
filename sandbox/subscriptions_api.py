"""Wix's API for email subscriptions: Query, Upsert, Bulk Upsert.

In: HTTP requests. Out: Wix's JSON and statuses. The only filter is `email` with `$in`: subscribers cannot be listed.
Sources: Wix, "Email Subscriptions" (in preview); the types of its JavaScript client, 1.0.8. What those leave open, and is therefore
uncertain here:

- The limits of a page and of the addresses in `$in`: the knob `subscriptions_page`.
- Whether capital letters of an address count: here they do not.
- Whether an address without a subscription is answered: here it is left out.
- Whether a deliverability status that is sent is taken: here it is ignored.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from sandbox import requests, validation
from sandbox.calls import BULK_UPSERT, QUERY_SUBSCRIPTIONS, UPSERT_SUBSCRIPTION
from sandbox.clock import iso
from sandbox.contacts import STATUSES, ContactBook, Subscription
from sandbox.errors import BadFilter, Invalid
from sandbox.knobs import LiveKnobs
from sandbox.middleware import Middleware

PREFIX = "/email-marketing/v1/email-subscriptions"
DEFAULT_PAGE = 50
MOST_AT_ONCE = 100
"""Subscriptions of one bulk upsert."""

Json = dict[str, Any]


class SubscriptionsApi:
    """The API over the email subscriptions of one site."""

    def __init__(self, book: ContactBook, knobs: LiveKnobs, middleware: Middleware) -> None:
        self._book = book
        self._knobs = knobs
        self._middleware = middleware

    def routes(self) -> list[BaseRoute]:
        """All routes, each wrapped by the middleware."""
        methods: list[tuple[str, str, Callable[[Request], Awaitable[Json]]]] = [
            (QUERY_SUBSCRIPTIONS, "/query", self._query),
            (UPSERT_SUBSCRIPTION, "", self._upsert),
            (BULK_UPSERT, "/bulk", self._bulk),
        ]
        return [
            Route(PREFIX + path, self._middleware.wrap(kind, requests.endpoint(handler)), methods=["POST"])
            for kind, path, handler in methods
        ]

    async def _query(self, request: Request) -> Json:
        asked = await requests.body(request)
        most = self._knobs.now.subscriptions_page
        wanted = _emails(asked.get("filter"), most)
        paging = validation.mapping(asked.get("paging", {}), "paging")
        limit = _whole(paging.get("limit", min(DEFAULT_PAGE, most)), "paging.limit", 1, most)
        offset = _whole(paging.get("offset", 0), "paging.offset", 0, 2**31 - 1)
        found = [one for email in wanted if (one := self._book.subscription(email)) is not None]
        shown = found[offset : offset + limit]
        return {
            "subscriptions": [_to_json(one) for one in shown],
            "metadata": {"count": len(shown), "offset": offset, "total": len(found), "tooManyToCount": False},
        }

    async def _upsert(self, request: Request) -> Json:
        asked = await requests.body(request)
        return {"subscription": _to_json(self._subscribe(asked.get("subscription"), "subscription"))}

    async def _bulk(self, request: Request) -> Json:
        asked = (await requests.body(request)).get("subscriptions")
        if not isinstance(asked, list) or not 1 <= len(asked) <= MOST_AT_ONCE:
            raise Invalid("subscriptions", f"a list of 1 to {MOST_AT_ONCE}", "MAX_SIZE")
        results: list[Json] = []
        for index, one in enumerate(asked):
            try:
                done: Json = {"emailSubscription": _to_json(self._subscribe(one, f"subscriptions[{index}]"))}
            except Invalid as error:
                done = {"error": {"errorCode": error.rule, "message": str(error)}}
            results.append({"originalIndex": index, **done})
        failed = sum("error" in one for one in results)
        return {"results": results, "metadata": {"totalSuccess": len(results) - failed, "totalFailure": failed}}

    def _subscribe(self, sent: Any, where: str) -> Subscription:
        given = validation.mapping(sent, where)
        email = given.get("email")
        if not isinstance(email, str) or "@" not in email:
            raise Invalid(f"{where}.email", "value is not an email address", "FORMAT")
        status = given.get("subscriptionStatus")
        if status is not None and status not in STATUSES:
            raise Invalid(f"{where}.subscriptionStatus", f"must be one of {', '.join(STATUSES)}", "ENUM")
        return self._book.subscribe(email, status)


def _emails(filter_: Any, most: int) -> list[str]:
    """The addresses that a filter asks for, each once. Raises BadFilter."""
    condition = filter_.get("email") if isinstance(filter_, dict) and len(filter_) == 1 else None
    wanted = condition.get("$in") if isinstance(condition, dict) and len(condition) == 1 else None
    if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
        raise BadFilter("filter", 'the only filter is {"email": {"$in": [...]}}')
    if len(wanted) > most:
        raise BadFilter("filter.email.$in", f"a list of at most {most}", "MAX_SIZE")
    return list(dict.fromkeys(one.lower() for one in wanted))


def _whole(value: Any, where: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Invalid(where, f"must be between {least} and {most}", "MAX")
    return value


def _to_json(subscription: Subscription) -> Json:
    return {
        "id": subscription.id,
        "email": subscription.email,
        "subscriptionStatus": subscription.status,
        "deliverabilityStatus": subscription.deliverability,
        "createdDate": iso(subscription.created),
        "updatedDate": iso(subscription.updated),
    }

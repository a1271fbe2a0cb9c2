"""Settings that can change while the sandbox runs: simulated faults, and what Wix's documentation leaves open.

In: changes by name. Out: one frozen Knobs that every module reads when it needs it, or Invalid with the knob's name.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.errors import Invalid
from sandbox.history import MAX_LAG

Chance = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Outage = Literal["none", "500", "503", "429", "401", "403", "404", "nonsense", "hang", "drop"]


class Knobs(BaseModel):
    """Every knob and its default."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    # -- delivery of webhooks --
    loss: Chance = Field(default=0.0, description="Probability that a webhook is never sent")
    duplicates: Chance = Field(default=0.0, description="Probability that a webhook is sent twice")
    reorder: Seconds = Field(default=0.0, description="Longest random delay before a webhook is first sent, in seconds")
    resend_scale: Seconds = Field(
        default=1.0, description="Factor on the delays of Wix's resend schedule: with 0.01, its first minute is 0.6 s"
    )
    jwt_life: Annotated[float, Field(allow_inf_nan=False)] = Field(
        default=300_000.0,
        description="Seconds from iat to exp; longer than the 47 h of resends, which are not signed again",
    )

    # -- the API --
    read_delay: Seconds = Field(default=0.0, description="Delay of every API response in seconds")
    read_jitter: Seconds = Field(
        default=0.0, description="Longest random extra delay in seconds, so that responses overtake each other"
    )
    stale_reads: Annotated[float, Field(ge=0, le=MAX_LAG)] = Field(
        default=0.0, description="Seconds by which reads lag behind changes"
    )
    outage: Outage = Field(default="none", description="Response to every request in place of the real one")
    outage_of: Literal["all", "api", "events", "contacts", "token"] = Field(
        default="all",
        description="Which requests the outage affects; events: those of the Events API; contacts: contacts and subscriptions",
    )
    rate_limit: Annotated[int, Field(ge=0)] = Field(
        default=200, description="API calls in any minute (Wix, Rate limits)"
    )
    retry_after: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Retry-After of a 429 or 503 in seconds; null for none"
    )
    plain_429: bool = Field(default=False, description="Whether a 429 has a text body instead of JSON")
    token_life: Annotated[int, Field(ge=0)] = Field(default=14_400, description="Seconds until an access token expires")
    bearer: bool = Field(default=False, description="Whether `Bearer <token>` is accepted as well as the bare token")

    read_events: bool = Field(
        default=True,
        description="Whether the app has the permission Read Events; without it the Events API answers 403",
    )

    contacts: bool = Field(
        default=True, description="Whether the app has the permission Manage Contacts; without it Contacts answers 403"
    )
    subscriptions: bool = Field(
        default=True,
        description="Whether the app has the permission Manage Email Subscriptions; without it that API answers 403",
    )

    query_results: Literal["all", "half", "none"] = Field(
        default="all",
        description="Which ticket definitions a query finds: all, every second one, or none, as after a fault of its index",
    )

    # -- the shop --
    hold_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=1200.0, description="Seconds until a reservation expires"
    )

    # -- what Wix's documentation leaves open --
    holds_count: bool = Field(default=True, description="Whether reserved tickets are subtracted from unsoldCount")
    null_unlimited: Literal["absent", "null"] = Field(
        default="absent", description="unsoldCount of an unlimited ticket"
    )
    missing_permission: Literal["403", "401"] = Field(
        default="403", description="Status of a call for which the app has no permission"
    )
    event_id_in: bool = Field(default=True, description="Whether Query Events accepts id with $in; otherwise 400")
    get_drafts: bool = Field(default=True, description="Whether Get Event returns drafts; otherwise 404")
    subscriptions_page: Annotated[int, Field(ge=1)] = Field(
        default=100, description="Most email subscriptions in one answer, and most addresses in one query"
    )
    update_replaces_fields: bool = Field(
        default=False, description="Whether an update of a contact removes the extended fields that it does not name"
    )
    job_seconds: Seconds = Field(
        default=0.2, description="Seconds until a bulk job of contacts is reported as completed"
    )
    free_price: Literal["0", "0.00"] = Field(default="0", description="How a price of zero is written")
    reservation_events: bool = Field(default=True, description="Whether ticket_reservation_* webhooks are sent")
    old_reservation_events: bool = Field(
        default=False, description="Whether the deprecated Reservation* webhooks are sent"
    )
    sale_events: bool = Field(default=True, description="Whether sale_started and sale_ended webhooks are sent")
    stock_updates: bool = Field(default=False, description="Whether a sale sends ticket_definition_updated")
    reorder_updates: bool = Field(
        default=True, description="Whether Reorder sends ticket_definition_updated for each ticket that moved"
    )
    closing_updates: bool = Field(
        default=True, description="Whether event_updated is sent when registration closes or opens by itself"
    )
    entity_as_string: bool = Field(default=False, description="Whether the entity of a domain event is a JSON string")
    deleted_entity: bool = Field(default=True, description="Whether ticket_definition_deleted contains the entity")
    tickets_of_deleted_events: bool = Field(
        default=False,
        description="Whether deleting an event sends ticket_definition_deleted for each of its tickets",
    )
    account_info: bool = Field(default=True, description="Whether the envelope contains accountInfo")
    order_tickets: bool = Field(
        default=True, description="Whether orders contain their tickets, not only invoice items"
    )
    line_ids: Literal["definition", "own"] = Field(
        default="definition",
        description="invoice.items[].id: the id of the ticket definition, or one of the item itself",
    )


class LiveKnobs:
    """The current knobs."""

    def __init__(self, knobs: Knobs | None = None) -> None:
        self.now = knobs or Knobs()

    def turn(self, **changes: Any) -> Knobs:
        """Change some knobs, all or none, with immediate effect. Raises Invalid with the knob's name."""
        try:
            self.now = Knobs.model_validate({**self.now.model_dump(), **changes})
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            name = str(fault["loc"][0])
            text = "there is no such knob" if fault["type"] == "extra_forbidden" else fault["msg"]
            raise Invalid(name, text) from None
        return self.now

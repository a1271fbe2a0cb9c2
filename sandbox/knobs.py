"""What can be turned while the sandbox runs: how it misbehaves, and what Wix's documents leave open.

In: changes by name. Out: one frozen Knobs that every part reads when it needs it, or Invalid naming the knob.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.errors import Invalid
from sandbox.history import MAX_LAG

Chance = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Outage = Literal["none", "500", "503", "429", "401", "403", "404", "nonsense", "hang", "drop"]


class Knobs(BaseModel):
    """Every knob and where it stands at first."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    # -- webhooks on their way --
    loss: Chance = Field(default=0.0, description="Probability that a webhook is silently never sent")
    duplicates: Chance = Field(default=0.0, description="Probability that a webhook is sent twice")
    reorder: Seconds = Field(default=0.0, description="Seconds of random delay before a webhook is sent first")
    resend_scale: Seconds = Field(
        default=1.0, description="Factor on Wix's resend schedule: 0.01 makes its first minute 0.6 s"
    )
    jwt_life: Annotated[float, Field(allow_inf_nan=False)] = Field(
        default=300_000.0,
        description="Seconds from iat to exp; longer than the 47 h of resends, which are not signed anew",
    )

    # -- the API --
    read_delay: Seconds = Field(default=0.0, description="Seconds that an answer of the API is on its way")
    read_jitter: Seconds = Field(default=0.0, description="Random seconds on top, so that answers overtake each other")
    stale_reads: Annotated[float, Field(ge=0, le=MAX_LAG)] = Field(
        default=0.0, description="Seconds that reads lag behind the world"
    )
    outage: Outage = Field(default="none", description="What is answered in place of everything")
    outage_of: Literal["all", "api", "token"] = Field(default="all", description="What the outage is of")
    rate_limit: Annotated[int, Field(ge=0)] = Field(default=200, description="API calls in any minute (Rate Limits)")
    retry_after: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Retry-After of a 429 and 503, seconds; null for none"
    )
    plain_429: bool = Field(default=False, description="Whether a 429 has a text body, not JSON")
    token_life: Annotated[int, Field(ge=0)] = Field(default=14_400, description="Seconds that an access token lives")
    bearer: bool = Field(default=False, description="Whether `Bearer <token>` is taken beside the bare token")

    # -- the shop --
    hold_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=1200.0, description="Seconds that a reservation lasts"
    )

    # -- what the documents leave open --
    holds_count: bool = Field(default=True, description="Whether unsoldCount has reserved tickets taken off")
    null_unlimited: Literal["absent", "null"] = Field(
        default="absent", description="unsoldCount of a ticket without limit"
    )
    free_price: Literal["0", "0.00"] = Field(default="0", description="How a price of nothing reads back")
    reservation_events: bool = Field(default=True, description="Whether ticket_reservation_* webhooks are sent")
    old_reservation_events: bool = Field(
        default=False, description="Whether the deprecated Reservation* webhooks are sent"
    )
    sale_events: bool = Field(default=True, description="Whether sale_started and sale_ended webhooks are sent")
    stock_updates: bool = Field(default=False, description="Whether a mere sale sends ticket_definition_updated")
    entity_as_string: bool = Field(default=False, description="Whether the entity of a domain event is a JSON string")
    deleted_entity: bool = Field(default=True, description="Whether ticket_definition_deleted carries the entity")
    account_info: bool = Field(default=True, description="Whether the envelope has accountInfo")
    order_tickets: bool = Field(default=True, description="Whether orders list their tickets, not only invoice lines")
    line_ids: Literal["definition", "own"] = Field(
        default="definition", description="invoice.items[].id: the ticket definition's, or an id of the line's own"
    )


class LiveKnobs:
    """Where the knobs stand now."""

    def __init__(self, knobs: Knobs | None = None) -> None:
        self.now = knobs or Knobs()

    def turn(self, **changes: Any) -> Knobs:
        """Change some, at once for everybody; all or none. Raises Invalid with the knob's name."""
        try:
            self.now = Knobs.model_validate({**self.now.model_dump(), **changes})
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            name = str(fault["loc"][0])
            text = "there is no such knob" if fault["type"] == "extra_forbidden" else fault["msg"]
            raise Invalid(name, text) from None
        return self.now

from typing import Any

import pytest

from sandbox import filters
from sandbox.errors import BadFilter, Invalid
from sandbox.model import Price, Pricing, SaleStatus, Ticket
from sandbox.queryable import TICKETS as KIND

FIELDS = KIND.fields

A, B, C = (f"{digit * 8}-aaaa-4aaa-8aaa-000000000001" for digit in "123")
EVENT = "0b5f1a2e-4444-4444-8444-00000000e001"

TICKETS = [
    Ticket(A, EVENT, "", "Seat", Pricing.FIXED, (Price("9.50", "USD"),), 10, 100.0, 100.0, 1),
    Ticket(
        B, EVENT, "", "Table", Pricing.GUEST, (Price("5", "EUR"),), None, 200.0, 300.0, 2,
        hidden=True, status=SaleStatus.ENDED, revision=12,
    ),
    Ticket(C, A, "", "Box", Pricing.FIXED, (Price("10", "EUR"),), 20, 300.0, 300.0, 3, fee="NO_FEE", revision=3),
]  # fmt: skip

DATE = "1970-01-01T00:03:20Z"
"""When the second ticket was created."""


def passing(filter_: Any) -> str:
    """The numbers of the tickets that pass the filter."""
    return "".join(str(ticket.position) for ticket in filters.matching(filter_, TICKETS, FIELDS))


@pytest.mark.parametrize(
    ("filter_", "numbers"),
    [
        (None, "123"),
        ({}, "123"),
        ({"eventId": EVENT}, "12"),
        ({"eventId": EVENT.upper()}, "12"),
        ({"id": {"$in": [A, C]}}, "13"),
        ({"id": {"$in": []}}, ""),
        ({"id": {"$nin": [A, C]}}, "2"),
        ({"id": {"$ne": A}}, "23"),
        ({"id": {"$eq": A}}, "1"),
        ({"name": {"$gte": "Seat"}}, "12"),
        ({"createdDate": {"$gt": DATE}}, "3"),
        ({"createdDate": {"$gte": DATE, "$lt": "1970-01-01T00:05:00Z"}}, "2"),
        ({"updatedDate": {"$lte": DATE}}, "1"),
        ({"initialLimit": {"$exists": True}}, "13"),
        ({"initialLimit": {"$exists": False}}, "2"),
        ({"initialLimit": {"$lt": 20}}, "1"),
        ({"initialLimit": None}, "2"),
        ({"initialLimit": {"$ne": 10}}, "23"),
        ({"revision": "12"}, "2"),
        ({"revision": {"$gt": 2}}, "23"),
        ({"pricingMethod.fixedPrice.value": {"$lt": "10"}}, "1"),
        ({"pricingMethod.fixedPrice.value": "10.00"}, "3"),
        ({"pricingMethod.fixedPrice.currency": "EUR"}, "3"),
        ({"pricingMethod.pricingType": "DONATION"}, "2"),
        ({"pricingMethod.free": False}, "123"),
        ({"hidden": False}, "13"),
        ({"saleStatus": {"$ne": "SALE_ENDED"}}, "13"),
        ({"feeType": {"$in": ["NO_FEE"]}}, "3"),
        ({"description": {"$eq": ""}}, "123"),
        ({"$and": [{"eventId": EVENT}, {"saleStatus": {"$ne": "SALE_ENDED"}}]}, "1"),
        ({"$or": [{"id": A}, {"name": "Box"}]}, "13"),
        ({"$not": {"id": A}}, "23"),
        ({"$not": {"$or": [{"id": A}, {"id": B}]}, "hidden": False}, "3"),
    ],
)
def test_filter_operators(filter_: Any, numbers: str) -> None:
    """Each operator, alone and combined, works on each field that has it."""
    assert numbers == passing(filter_)


@pytest.mark.parametrize(
    ("filter_", "where"),
    [
        ([], "filter"),
        ({"salesDetails.unsoldCount": 3}, "filter.salesDetails.unsoldCount"),
        ({"nobody": 1}, "filter.nobody"),
        ({"$nor": []}, "filter.$nor"),
        ({"hidden": {"$gt": False}}, "filter.hidden.$gt"),
        ({"saleStatus": {"$lte": "SALE_ENDED"}}, "filter.saleStatus.$lte"),
        ({"id": {"$regex": "a"}}, "filter.id.$regex"),
        ({"id": "not-a-guid"}, "filter.id"),
        ({"id": {"$in": A}}, "filter.id.$in"),
        ({"id": {"$in": [A, "x"]}}, "filter.id.$in"),
        ({"id": {}}, "filter.id"),
        ({"name": {"$exists": "yes"}}, "filter.name.$exists"),
        ({"name": {"$gt": None}}, "filter.name.$gt"),
        ({"name": 7}, "filter.name"),
        ({"hidden": "true"}, "filter.hidden"),
        ({"createdDate": "soon"}, "filter.createdDate"),
        ({"createdDate": 7}, "filter.createdDate"),
        ({"initialLimit": "many"}, "filter.initialLimit"),
        ({"initialLimit": True}, "filter.initialLimit"),
        ({"pricingMethod.fixedPrice.value": "dear"}, "filter.pricingMethod.fixedPrice.value"),
        ({"$and": {}}, "filter.$and"),
        ({"$or": []}, "filter.$or"),
        ({"$or": [{"id": A}, 7]}, "filter.$or[1]"),
        ({"$not": []}, "filter.$not"),
    ],
)
def test_invalid_filter_is_named(filter_: Any, where: str) -> None:
    """A field, an operator or a value that Wix would not accept is named."""
    with pytest.raises(BadFilter) as caught:
        passing(filter_)

    assert where == caught.value.field


def test_nesting_of_filters_is_limited() -> None:
    """Filters can be nested to a limited depth only."""
    deep: dict[str, Any] = {"id": A}
    for _ in range(50):
        deep = {"$not": deep}

    with pytest.raises(BadFilter):
        passing(deep)


def test_facets_count_values() -> None:
    """A facet has each value of a field and how many tickets have it; absent values are not counted."""
    expected = {
        "saleStatus": {"counts": {"SALE_STARTED": 2, "SALE_ENDED": 1}},
        "hidden": {"counts": {"false": 2, "true": 1}},
        "initialLimit": {"counts": {"10": 1, "20": 1}},
        "createdDate": {"counts": {f"1970-01-01T00:0{at}.000Z": 1 for at in ("1:40", "3:20", "5:00")}},
    }

    assert expected == filters.facets(list(expected), TICKETS, FIELDS)
    assert {} == filters.facets(None, TICKETS, FIELDS)


@pytest.mark.parametrize("names", ["saleStatus", ["nobody"], [7], ["hidden"] * 21])
def test_facets_are_of_known_fields(names: Any) -> None:
    """At most twenty facets are possible, of known fields only."""
    with pytest.raises(Invalid):
        filters.facets(names, TICKETS, FIELDS)

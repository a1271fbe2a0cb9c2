"""The run of the checks on a system behind a URL: the reference receiver passes, and each receiver that is broken is told so."""

from typing import Any

from tests.rig import broken_receivers as broken

BROKEN: dict[type[Any], tuple[str, str]] = {
    broken.ForgetsKeys: ("same-key-again", ""),
    broken.DoublesTickets: ("same-key-again", ""),
    broken.IgnoresOtherBodies: ("same-key-with-another-body", ""),
    broken.ForgetsTheId: ("put-of-some-members", ""),
    broken.SkipsARecord: ("list-a-page-and-one", ""),
    broken.SkipsAndCountsSo: ("list-a-page-and-one", ""),
    broken.NewestFirst: ("list-each-once", ""),
    broken.DropsLimits: ("created-values", ""),
    broken.NullIsZero: ("limits", ""),
    broken.Trims: ("texts", ""),
    broken.Escapes: ("texts", ""),
    broken.PricesAsNumbers: ("created-values", ""),
    broken.StaysOnSale: ("deactivate", ""),
    broken.AcceptsAll: ("unsigned", ""),
    broken.AcceptsOld: ("signed-long-ago", ""),
    broken.AcceptsOtherMethods: ("signed-for-another-method", ""),
    broken.WritesBeforeItVerifies: ("unsigned", ""),
    broken.FailsOnGone: ("unknown-record", ""),
    broken.EmptyElsewhere: ("unknown-event", ""),
    broken.SaysNothing: ("words-of-errors", ""),
}
"""Each broken receiver, with a check that it fails and the line that says so."""

"""All checks that need no more than a bench."""

from server.sync.conformance import faults, ids, records, stops, values

CHECKS = (*records.CHECKS, *ids.CHECKS, *values.CHECKS, *stops.CHECKS, *faults.CHECKS)

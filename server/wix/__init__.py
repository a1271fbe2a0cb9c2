"""Wix's API and its webhooks.

client.py       what is read: ticket definitions and events
calls.py        HTTP calls: time-outs, 401, Retry-After, errors
tokens.py       access tokens: cached, renewed, discarded
credentials.py  how we authenticate: as an app, or with an API key
schema.py       parses a ticket definition
events.py       parses an event
members.py      members of Wix's JSON that may be missing
webhooks.py     what a webhook asks for
signature.py    verifies webhooks
"""

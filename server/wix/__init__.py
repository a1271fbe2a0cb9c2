"""Wix's API and its webhooks.

client.py       what is read: ticket definitions and events
calls.py        HTTP calls: time-outs, 401, Retry-After, errors
route.py        directly, or through a proxy; which authorities are trusted
no_answer.py    why no answer came: DNS, TLS, a proxy, refused, too late
cures.py        what to do about a fault, for logs, commands and doctor
tokens.py       access tokens: cached, renewed, discarded
credentials.py  how we authenticate: as an app, or with an API key
contacts.py     contacts with a label, email subscriptions, an extended field
schema.py       parses a ticket definition
events.py       parses an event
members.py      members of Wix's JSON that may be missing
webhooks.py     what a webhook asks for
signature.py    verifies webhooks
public_key.py   the app's public key, from text
"""

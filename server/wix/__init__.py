"""Wix's API and its webhooks.

client.py       calls: queries for ticket definitions
tokens.py       access tokens: cached, renewed, discarded
credentials.py  how we authenticate: as an app, or with an API key
schema.py       parses a ticket definition
webhooks.py     what a webhook asks for
signature.py    verifies webhooks
deadline.py     a time limit for a whole call over httpx
"""

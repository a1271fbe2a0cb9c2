"""Wix's API and its webhooks.

client.py       queries for ticket definitions, and access tokens
credentials.py  how we authenticate: as an app, or with an API key
schema.py       parses a ticket definition
webhooks.py     what a webhook asks for
signature.py    verifies webhooks
deadline.py     a time limit for a whole call over httpx
"""

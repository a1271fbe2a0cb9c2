"""A local Wix: ticket definitions, access tokens and signed webhooks of Wix Events, without an account.

 shop page ─▶ control ─▶ world ──▶ webhooks ──▶ delivery ──POST──▶ whoever listens
                           ▲
 API client ─▶ gate ─▶ api ┘         knobs: how all of it misbehaves

As strict as the real one, in names, types, statuses and bodies; where Wix's documents are silent, a knob decides. It
shares no code with what it tests: a double that does proves nothing.

  __main__.py     `python -m sandbox`: options, signals
  app.py          builds all of it; lets time pass

What a client meets:
  middleware.py   outages, tokens, the rate limit, slow answers
  api.py          Ticket Definitions V3, both prefixes
  validation.py   what a client sends, checked
  filters.py      who passes a filter
  query.py        sort and pages
  entity.py       a ticket as Wix writes it
  responses.py    statuses and error bodies
  auth.py         tokens and API keys
  calls.py        the record of calls, and the limit

What a receiver meets:
  delivery.py     sends, and sends again
  webhooks.py     envelope, signature
  payloads.py     orders, reservations, events as Wix tells them

What a tester meets:
  control.py      everything below /sandbox
  overview.py     the world at a glance
  shop.py         the page to buy from
  knobs.py        what can be turned while it runs

The truth:
  world.py        holds and orders
  catalog.py      events and ticket definitions, and time
  history.py as it was a while ago
  observer.py       who is told what happened
  seed.py         the first event

Words and what is kept:
  model.py errors.py clock.py site.py state.py
"""

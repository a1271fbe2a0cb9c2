"""A local Wix: ticket definitions, access tokens and signed webhooks of Wix Events, without an account.

 shop page ─▶ control ─▶ world ──▶ webhooks ──▶ delivery ──POST──▶ webhook receivers
                           ▲
 API client ─▶ middleware ─▶ api       knobs: which faults are simulated

Names, types, statuses and bodies are as strict as Wix's. Where Wix's documentation leaves a question open, a knob
selects the answer. The sandbox shares no code with the server, so that the tests prove something.

  __main__.py          `python -m sandbox`: options, signals
  app.py               builds everything; runs timed changes

For API clients:
  middleware.py        outages, tokens, the rate limit, permissions, slow answers
  api.py               Ticket Definitions V3, under both prefixes
  events_api.py        Events V3, under both prefixes
  contacts_api.py      Contacts V4, its bulk jobs, labels and extended fields
  subscriptions_api.py  Email Subscriptions
  requests.py          what requests to them contain
  validation.py        ticket definitions in requests
  filters.py           the filter language
  query.py             sorting and paging
  queryable.py         the fields of tickets, events and contacts that can be filtered and sorted by
  entity.py            a ticket as Wix's JSON
  event_entity.py      an event as Wix's JSON
  responses.py         statuses and error bodies
  auth.py              tokens and API keys
  calls.py             log of API calls, and the rate limit

For webhook receivers:
  delivery.py          sending and resending
  webhooks.py          envelope, signature
  payloads.py          orders, reservations and events as Wix's JSON

For testers:
  control.py           everything below /sandbox
  contact_control.py   the part of it that fills the sandbox with contacts
  event_validation.py  events in requests to it
  overview.py          the state of the world as JSON
  event_page.py        what Wix's page of an event shows of a ticket
  shop.py              the page to buy from
  knobs.py             settings that can change while the sandbox runs

State:
  world.py             holds and orders
  catalog.py           ticket definitions, and when registration closes by itself
  events.py            events, registration, timed changes
  contacts.py          contacts, labels, extended fields, email subscriptions, bulk jobs
  history.py           earlier states, for reads that lag
  observer.py          interface for notifications of changes
  seed.py              the first event

Values and files:
  model.py errors.py clock.py site.py state.py
"""

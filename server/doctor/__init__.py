"""`ticket-counter doctor`: looks at a deployment and everything that it depends on, and says what is wrong and what to do.

finding.py         what was found, as a value: whether it is a fault, why it matters, what to do
deployment.py      what the checks look at: the settings, Redis where there is one, its sites; and who pays for calls to Wix
run.py             runs the checks one after the other, each within a time limit
required.py        the settings that are missing
advice.py          settings that are probably not what was meant
files.py           sync.toml and notify.toml
redis.py           Redis: reachable, fit, its memory, its latency
wix.py             Wix: the token, the first query, the permission for events, our clock
webhooks.py        the webhooks that came, by type, and stock that falls without any
process.py         file descriptors against MAX_CONNECTIONS
ago.py             how long ago, and how many, in words
worker.py          whether a worker runs, and how far it lags behind
public_address.py  PUBLIC_URL from outside: leading to us, with webhooks, WebSockets and streams
proxies.py         TRUSTED_PROXIES against the peers that sent X-Forwarded-For
web.py             asks an address of the web, as someone outside would
sync.py            each target of sync.toml: reachable, its rights, fields and currency
notify.py          the marketing tools of notify.toml
mail.py            the mail relay: TLS and password, nothing is sent
push.py            the keys that sign push messages
page.py            a page of the site in Chromium (--site)
page_findings.py   what that means which was seen of it
page_seen.py       what was seen of it, as values
page_errors.py     errors of that page itself: scripts, Content-Security-Policy, mixed content
unsubscribe_address.py  the address in each mail, from outside

Nothing is changed anywhere but Wix's budget, from which each call is paid. A check is a function that takes a Deployment and
gives Findings, the first ones at once; what another part of the server says of a fault is shown in its words.
"""

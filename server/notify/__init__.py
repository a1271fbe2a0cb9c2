"""Notify: those who asked hear, once and in time, that tickets went on sale.

 [changes] ─▶ opener ─▶ [campaigns] ─▶ runner ─▶ passes ─▶ sender ─▶ channel ─▶ a relay, a push service
   clock ──┘    │                                  │ ▲       │ ▲
            snapshots ──▶ offer ───────────────────┘ │       │ └─ [outbox]: claimed before, marked after
                               a marketing tool ─────┘       └─── consent, suppressions, pace

It acts on what is so now, and never on what a message says: a campaign is opened where a ticket is on sale that none has announced,
and each recipient's row in the outbox says whether they had their message. So a look, a pass and a worker can be repeated at will.

notifier.py        all of notify in one worker process
service.py         what the commands do
opener.py          looks at events, and opens a campaign where tickets went on sale
trigger.py         which tickets are announced now: a pure function
runner.py          takes campaigns that are not over, and runs each on its channels
run.py             one campaign on one channel, under a lease, until an end
passes.py          reads the audience page by page, again and again until no one is new
sender.py          one recipient: pace, consent, claim, message, what came of it
breaker.py         what a fault of a relay or a push service means: pauses and probes
offer.py           what of a campaign can be bought now
opt_outs.py        brings opt-outs to the marketing tool
sign_ups.py        brings addresses to the tool, which asks their owners
request_loop.py    opt-outs and sign-ups, tried again until a tool took them
event_sources.py   the audience source of each event, kept open
confirmations.py   sends a first push to each new subscription
dates.py           brings the date of the next sale start to the tool
status.py          how far campaigns are
kept_campaigns.py  the campaigns that Redis keeps, for commands that need no notify.toml
previewer.py       what a message says and who would get it, before it is sent
audience_count.py  counts an audience
audience_check.py  asks for each audience at the start and once an hour, so that a wrong list is seen
sales.py           what of an event is on sale, or will be, for commands
named_events.py    which event of Wix is meant by a name
erasure.py         deletes what is kept of a person
reports.py         what commands show, as values
announcement.py    what is announced, as values
config.py          what notify.toml and the settings say, as values
timing.py          durations of a campaign's run
file/              reads notify.toml
message/           what a message says, as text, HTML and a mail
audience/          the marketing tools that know who has subscribed
channels/          the ways to send
"""

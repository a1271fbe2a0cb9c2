"""A real-time ticket counter for Wix Events sites: "Only 3 left", live, and only while it is true.

 Wix ──POST──▶ webhook ─┐                                     ┌▶ pub/sub ─▶ hub ─▶ live ─▶ <ticket-counter>
                        ├▶ [schedule] ─▶ refresh ─▶ snapshots ┤
   viewer, clock ───────┘               re-reads Wix          └▶ [changes] ┬▶ sync ─▶ other ticketing systems
                                                                           └▶ notify ─▶ mail, push

A webhook is only a hint to read again; what Wix answers to a later read is the truth; storing and announcing are one
step; viewers get whole counters, and the newest wins.

Where things are:

  cli/                the commands and their options
    __main__.py          `python -m server.cli`
    commands.py          the program, and the commands that run the server
    tickets.py           `ticket-counter tickets` and `events`: which there are, with their ids
    embed.py             `ticket-counter embed`: the HTML for a page
    catalog_text.py      events and tickets as text and as JSON
    sites.py             `ticket-counter sites …`: lists the known sites, adds and removes one
    sync.py              `ticket-counter sync …`: options, what is printed, exit statuses
    sync_apply.py        `sync apply`: the plan and the question before it, the progress bar, what was done
    sync_conformance.py  `sync conformance`: checks a system behind a URL
    sync_service.py      opens sync for one command: SYNC_FILE, Redis, names of targets and tickets
    sync_json.py         plans, outcomes, differences, status and parked tickets as JSON
    plan_text.py         plans as text
    diff_text.py         differences as text
    status_text.py       the status of targets, parked tickets and outcomes as text
    notify.py            `ticket-counter notify …`: options, what is printed, exit statuses
    notify_command.py    how each command of notify begins and ends: settings, errors as lines and as JSON
    notify_send.py       `notify send`: what would be sent, the question before it, what was begun
    notify_watch.py      `notify status --watch`: the progress bar
    notify_service.py    opens notify for one command: NOTIFY_FILE, Redis
    notify_json.py       campaigns, previews and answers as JSON
    notify_status_text.py  how far campaigns are, as text
    notify_text.py       previews and answers as text, times and durations
    doctor.py            `ticket-counter doctor`: findings as text and as JSON
    check.py             `ticket-counter check`: as doctor, for the settings and the files that they name alone
    ticket_ids.py        tickets as a person names them: by an id, or by how it begins
    values.py            values of fields, times and durations as text
    table.py             columns of text, which know how wide a character is in a terminal
    terminal.py          where text goes: a terminal or not, how wide, with colours or not
    start.py             what every command begins with: settings, logs, and errors as one line
  supervisor.py       `web --processes`: starts children, restarts one that dies with back-off, ends them in order
  run.py              one process: start, signals, graceful shutdown in its order, and its time limits
  start_summary.py    what a person has to know once a server runs: addresses, sites, tickets, HTML for a page
  site_faults.py      what is wrong with a site: its token, its permissions, its webhooks
  web.py              builds the web process: routes, hub, feed, admission
  worker.py           builds the worker process: refresh, and sync where sync.toml names a target
  watch.py            `ticket-counter watch`: prints counters, and `unknown` when one can no longer be verified
  snippet.py          the HTML that puts counters on a page
  catalog/            which events and tickets there are, for a person: catalog.py listed.py stored.py fresh.py payment.py
  valkey.py           the embedded Valkey: lock files, start, stop
  settings.py         the environment and .env, validated once, all faults reported together
  wix_settings.py     the settings of Wix
  wix_client.py       a client of Wix as the settings say
  notify_settings.py  the settings of notify
  env_file.py         the file .env, also with keys of several lines that have no quotes
  setting_names.py    misspelt names of settings
  setting_faults.py   all faults of the settings of a start, each with what to do
  wix_sites.py        WIX_SITES, and what was copied there in place of an app instance id
  setting_values.py   the values of settings, read from text or refused with what they should be
  settings_advice.py  settings that can be used, and are probably not what was meant
  settings_table.py   all settings as a Markdown table
  webhook.py          POST /webhooks/wix: size and time limits, verify, mark tickets as due, 200
  pages.py            the routes of the widget file, also of other versions, and of /embed
  embed_page.py       /embed: a page for iframes, by its query string
  script_file.py      a script for other pages: compressed once, an ETag for each content coding
  index_page.py       /: what this server is, its version, and its addresses
  health.py           /livez, /readyz, /metrics, of a web process and of a separate worker
  unsubscribe.py      /u/TOKEN: leaves a list, by a button or by one click in a mail program
  tell_me/            /tell-me: a page on which a visitor subscribes: page.py asked_event.py texts.py subscriptions.py
                      sign_up.py posts.py
  query.py            the query string of a public request: tickets or an event, site, and how many
  accept_language.py  which of our languages a reader prefers
  accept_encoding.py  in which content coding a client gets a file

  http/               uvicorn as we run it
    server.py         its configuration
    listen.py         the listening socket, the TCP option that drops stuck clients, the port that processes share
    connection.py     one HTTP connection: size of a head, time-outs, one request after another
    upgrade.py        which requests become WebSockets
    idle.py           how many idle connections there may be, and which is closed for a new one
    descriptors.py    the limit of open files: how many viewers, and what is reserved

  live/               the counters resource: JSON, server-sent events, WebSocket
    counters.py       GET /v1/counters as JSON: ETag, caching
    sse.py            server-sent events
    websocket.py      one WebSocket viewer: slow clients, pings, close codes, limits on what it sends
    poll.py           a viewer that stays until it has seen enough: JSON, and the beginning of a stream of an event
    handshake.py      the opening handshake
    host.py           the header Host
    client_address.py  a client's address (TRUSTED_PROXIES), and the warning about a proxy that is missing there
    untrusted_peers.py  notes which proxies are missing there, for `doctor`
    frames.py         the frames of clients, parsed (RFC 6455)
    admission.py      origins (ORIGINS), connection limits
    responses.py      errors as JSON, CORS headers

  hub/                which viewers watch what in this process, and how a change reaches them
    hub.py            viewers join and leave; a topic lingers 30 s without viewers; sends all away at a shutdown
    topics.py         one watched ticket: what is shown of it, and when it is withdrawn (MAX_STALE); the tickets of one event
    flush.py          writes a change to all its viewers
    feed.py           loads snapshots and checks every 5 s that what viewers see is what is stored
    event_lists.py    reads which tickets of an event are shown (?event=)
    site_lookup.py    the site of a request that names none: which has its tickets, asked together, bounded, remembered
    subscriptions.py  pub/sub: subscribes, and opens a lost or silent link again
    by_site.py        asks Redis for each site, and remembers where it did not answer
    site_status.py    what Redis returned last of each site; /readyz `webhooks_heard`
    worker_watch.py   whether a worker is alive and Wix answers it; /readyz `worker` and `wix`
    heartbeat.py      a frame to every viewer every 25 s
    other_rules.py    counters made with other LOW_AT or SHOW_AT_MOST are not shown; /readyz `rules`
    disallowed.py     counters that our rules do not allow, no matter who published or stored them, are not shown
    withdrawals.py    numbers that were withdrawn, as few log lines
    rereads.py        has tickets read again whose stored counters are not shown
    unconfirmed.py    how many ids of tickets that Wix has not confirmed may be watched

  refresh/            reads from Wix what is due
    claims.py         the worker's loop: claims due tickets of each site, at most 16 reads at once
    listing.py        lists all tickets of a site, page by page
    reader.py         one query of up to 100 tickets; when a ticket counts as deleted (two answers without it, then 404)
    events.py         reads events: is registration open; one by one where a query is refused; without the permission
    faults.py         pauses a site after a fault of Wix; few log lines of an outage
    status.py         says every few seconds that this worker is alive, and whether Wix answers
    silence.py        warns when stock falls and no webhook arrives

  sync/               keeps ticket definitions one to one in other ticketing systems; its __init__.py is its map
    syncer.py         all of sync in one worker process
    service.py        what the commands do
    attended.py       what is done while a person waits
    consumer.py       changes mark tickets as due
    audit.py          compares whole events from time to time, and marks what differs
    loop.py           claims due tickets of one target
    applier.py        brings one ticket to a target
    work.py           one ticket on its way
    finder.py         finds what a target has of a ticket
    plan.py           what to do about a ticket: a pure function
    writer.py         writes that
    planner.py        compares a whole event, for plans and audits
    deactivations.py  how many records may be taken off sale by themselves
    target_faults.py  what a fault of a target means: who waits, and for how long
    budget.py         the budget of requests to a target
    status.py         the status of each target
    mapped_events.py  which event of a target belongs to which event of Wix
    applied.py        what was applied last, as it is remembered
    stores.py         the stores of sync, together
    followed_sites.py  the sites of which a target follows an event
    mapping.py        which field of a target gets what, and the other settings of a target
    definition.py     a ticket definition in the words that a mapping may use
    model.py          what a ticket should be, what a target has, what a plan does, as values
    reports.py        what commands show, as values
    mapping_file/     reads sync.toml: file.py first_file.py target_reader.py fields_reader.py rule_reader.py kinds.py
    targets/          the ticketing systems: target.py (what sync needs of one) http.py http_json.py signature.py calls.py no_answer.py
      pretix/         pretix: target.py items.py quotas.py options.py fields.py work.py api.py
    conformance/      what every target must pass: check.py expectation.py bench.py samples.py suite.py records.py ids.py values.py
                      stops.py faults.py run.py wire.py http_bench.py signed.py table.py

  notify/             tells subscribers that tickets went on sale; its __init__.py is its map
    notifier.py       all of notify in one worker process
    service.py        what the commands do
    opener.py         looks at events, and opens a campaign where tickets went on sale
    trigger.py        which tickets are announced now: a pure function
    runner.py         takes campaigns that are not over, and runs each on its channels
    run.py            one campaign on one channel, under a lease, until an end
    passes.py         reads the audience page by page, again and again until no one is new
    sender.py         one recipient: pace, consent, claim, message, what came of it
    breaker.py        what a fault of a relay or a push service means: pauses and probes
    offer.py          what of a campaign can be bought now
    opt_outs.py       brings opt-outs to the marketing tool
    sign_ups.py       brings addresses to the tool, which asks their owners
    request_loop.py   opt-outs and sign-ups, tried again until a tool took them
    event_sources.py  the audience source of each event, kept open
    confirmations.py  sends a first push to each new subscription
    dates.py          brings the date of the next sale start to the tool
    status.py         how far campaigns are
    previewer.py      what a message says and who would get it, before it is sent
    audience_count.py  counts an audience
    audience_check.py  asks for each audience at the start and once an hour, so that a wrong list is seen
    sales.py          what of an event is on sale, or will be, for commands
    named_events.py   which event of Wix is meant by a name
    kept_campaigns.py  the campaigns that Redis keeps, for commands that need no notify.toml
    erasure.py        deletes what is kept of a person
    reports.py        what commands show, as values
    announcement.py   what is announced, as values
    config.py         what notify.toml and the settings say, as values
    timing.py         durations of a campaign's run
    file/             reads notify.toml: file.py first_file.py reader.py
    message/          what a message says: content.py languages.py (from texts/) renderer.py (by templates/) mime.py (as bytes)
                      folder.py template_check.py
    audience/         the marketing tools: source.py (what notify needs of one) mailman.py wix.py mailchimp.py
                      mailchimp_api.py csv_file.py csv_records.py push_subscriptions.py calls.py
    channels/         the ways to send: channel.py mail.py relay.py smtp_replies.py push.py push_payload.py

  doctor/             `ticket-counter doctor`: looks at a deployment and all that it depends on, and says what is wrong
    run.py            runs the checks one after the other
    deployment.py     what the checks look at, and who pays for their calls to Wix
    required.py advice.py files.py redis.py wix.py webhooks.py process.py worker.py public_address.py proxies.py sync.py notify.py mail.py push.py
                      unsubscribe_address.py page.py page_findings.py page_errors.py page_seen.py   a file a kind of check
    web.py            asks an address of the web, as someone outside would
    finding.py        what was found: whether it is a fault, why it matters, what to do
    ago.py            how long ago, and how many, in words

  wix/                Wix's API and its webhooks
    client.py         what is read: ticket definitions, events
    calls.py          HTTP calls: time-outs, 401, Retry-After, errors
    route.py          directly, or through a proxy (HTTPS_PROXY); which certificate authorities are trusted (WIX_CA_FILE)
    no_answer.py      why no answer came: DNS, TLS, a proxy, refused, too late
    cures.py          what to do about a fault of Wix, for logs, commands and doctor
    tokens.py         access tokens: cached, renewed, discarded
    credentials.py    app or API key, as values
    contacts.py       contacts with a label, their email subscriptions, one extended field
    schema.py         ticket definitions from JSON
    events.py         events from JSON: status, registration, page, tax
    members.py        members of Wix's JSON that may be missing
    webhooks.py       what each webhook type asks for
    signature.py      verifies a webhook's JWT
    public_key.py     the app's public key, in each form in which it reaches a setting

  store/              what is stored in Redis; __init__.py is the table of every key
    schedule.py       when each ticket is read: mark, watch, claim, settle, pause (calls the scripts)
    budget.py         Wix's rate limit as a token bucket: its numbers, and the longest pause
    timing.py         durations of the schedule: leases, time between reads, how long a ticket stays watched
    claims.py         lots, listings and lots of events: what a worker claims
    events.py         what was read of each event; a change has its tickets read
    snapshots.py      what was read of each ticket: kept if newer, published, history
    shown.py          which tickets of an event a visitor may see
    changes.py        the streams of changes and of history, read by consumer groups
    sites.py          known sites, their return when Redis lost its data, and the end of those that only stood in WIX_SITES
    ticket_sites.py   which of some tickets and events a site has
    site_records.py   why a site is known: WIX_SITES, an installation, or by hand
    definitions.py    what is stored of ticket definitions, for sync
    sync_due.py       which tickets are due at a target of sync, and which a process brings there
    sync_records.py   what sync remembers of tickets and events
    sync_targets.py   pauses, faults and budgets of targets
    campaigns.py      campaigns of notify: opened once, stopped, listed
    outbox.py         a row for each recipient of a campaign: claimed before sending, marked after
    suppressions.py   who opted out
    notify_requests.py   what visitors asked of notify, encrypted, until a worker has done it
    notify_events.py  what notify remembers of events
    push_subscriptions.py   browsers that want to be told
    channel_servers.py   pace, faults and pauses of a relay or a push service
    redis_clock.py    Redis's time in a process
    leases.py         the right to write to a target
    refused_webhooks.py  the last webhook that was refused although it looked like Wix's
    untrusted_peers.py   peers outside of TRUSTED_PROXIES that sent X-Forwarded-For lately
    wix_faults.py     what was wrong the last time that Wix failed
    worker_status.py  what workers last said of themselves
    widget_files.py   versions of the widget's file, for pages that pin one
    rules_warning.py  the log line `rules_differ`
    keys.py           names of keys and channels
    scripts.py        loads the Lua scripts
    lua/              the scripts, each one atomic step:
                      mark.lua (hints) watch.lua (viewers) claim.lua (leases, lots) gap.lua (gaps between reads)
                      spend.lua budget.lua (rate limit)
                      settle.lua (next due times) pause.lua (back-off after a fault of Wix) extend.lua (listings)
                      event_lot.lua (lots of events) keep_events.lua (newer wins) delay_events.lua (after a fault of theirs)
                      stored_events.lua (which are to be read before their tickets)
                      keep.lua (newer wins; publish; trim changes and history) miss.lua (left out of one answer)
                      shown.lua (the list of an event) watch_events.lua (viewers of events) tracked.lua (which hints count)
                      silence.lua (falls without a webhook) stored.lua (counters and ages, for readers) has.lua (which site has a ticket)
                      sync_mark.lua sync_claim.lua sync_settle.lua (due tickets, and leases of them) sync_remember.lua
                      sync_pay.lua (budgets of targets) lease.lua (who may write to a target)
                      add_site.lua remove_site.lua in_settings.lua clock.lua

  redis/              the driver, for one server, Sentinels or a cluster; it knows no ticket
    url.py            REDIS_URL, read: every form and parameter, and what is wrong with one
    client.py         scripts and commands, time-outs, and the check that Redis loses no data
    cluster.py        slot map, redirections, failover
    sentinel.py       asks the Sentinels for the master
    unfit.py          what is wrong with a Redis or its address, where waiting would not help, and what to do
    rights.py         which permissions (ACL) are missing
    node.py           the connections of one server
    pipeline.py       many commands in one round trip
    listener.py       pub/sub of one server: probes, a lost link
    links.py          pub/sub of a cluster: a link to each master, opened again when lost
    faults.py         which errors mean that Redis is unavailable
    namespace.py      what names of keys and channels begin with (REDIS_PREFIX, the database), so that deployments share a Redis

  counter.py          what may be said of a ticket: its state, number, fees (LOW_AT, SHOW_AT_MOST)
  model.py            tickets, events, hints, and what is stored of a ticket, as values
  campaign.py         campaigns of notify, rows of the outbox, progress, as values
  wire.py             counters, heartbeats and frames as bytes; close codes; when clients come back
  errors.py           what can go wrong, as a tree
  metrics.py          every metric, summed over processes
  process_metrics.py  figures of the kernel about them: memory, CPU, descriptors
  logs.py             one line per event, masked; limits repeated warnings
  toml_file/          files of settings in TOML: document.py secrets.py lines.py faults.py
  addresses.py        which network addresses are public, so that a name cannot lead to our own machines
  keyring.py          encrypts and hashes personal data (NOTIFY_KEYS)
  vapid.py            the keys that sign push messages (NOTIFY_VAPID_KEYS)
  push_subscription.py   a browser's push subscription: which push services it may name, and its keys
  mail_address.py     an e-mail address in the form in which recipients are compared
  single_line.py      a name of others on one line, which turns nothing around it
  chunks.py           a sequence in pieces
  deadline.py         a deadline for a whole call over HTTP
  retry_after.py      the header Retry-After
  child.py            subprocesses that end with this one
  timed_event.py      an event that a loop waits for between two rounds
  rounds.py           the rounds of a task in the background, whatever a round raises
"""

"""What is stored in Redis, and the scripts that write it.

schedule.py       mark, watch, claim, spend, settle, pause
claims.py         what a worker can claim, as values
budget.py         Wix's rate limit of a site
timing.py         how often tickets are read, how long leases last
snapshots.py      what the last accepted read said of each ticket
events.py         what the last accepted read said of each event
shown.py          which tickets of an event a visitor may see
changes.py        the log of changes, by consumer group
definitions.py    what is stored of ticket definitions, for sync
sync_due.py       which tickets are due at a target of sync
sync_records.py   what sync remembers of tickets and events
sync_targets.py   pauses and budgets of targets
push_subscriptions.py  browsers that want to be told, encrypted
campaigns.py      campaigns of notify
outbox.py         a row for each recipient of a campaign
suppressions.py   who opted out
notify_events.py  what notify remembers of events
channel_servers.py   pace, faults and pauses of a relay or a push service
redis_clock.py    Redis's time in a process
leases.py         the right to write to a target
notify_requests.py   what visitors asked of notify, until a worker has done it
sites.py          the sites that Redis should know
worker_status.py  what workers last said of themselves
ticket_sites.py   which of some tickets and events a site has
site_records.py   why a site is known, and whether it stands in the settings
refused_webhooks.py  the last webhook that was refused although it looked like Wix's
untrusted_peers.py   peers outside of TRUSTED_PROXIES that sent X-Forwarded-For lately
wix_faults.py     what was wrong the last time that Wix failed
widget_files.py   versions of the widget's file
rules_warning.py  the warning that processes have different rules
keys.py           the names of keys and channels
scripts.py        the Lua scripts, read from lua/
lua/              their files

Every key and channel in Redis follows (tests/rig/key_table.py reads this table: a test that leaves another key fails):

- `tc` stands for the setting REDIS_PREFIX, of which it is the default. Channels are also named by the database, if that is not
  0, since pub/sub ignores databases: `tc@3:wake` in database 3 (redis/namespace.py). Keys are not: each database has its own.
- Words in capitals stand for any name. SITE is an app instance id; its braces keep all keys of a site in one slot of a cluster.
- Times are by Redis's clock, in microseconds since 1970; those that sync remembers of records, events and targets are in seconds,
  by the clock of the process that wrote them.
- `expires` is how long a key is kept after it was last written: first as a rule, then of a site of which only watched tickets
  are tracked, of a ticket that Wix has deleted or never had, and after the app was removed from the site. What sync remembers
  stays then, as its targets stay as they are: an app that is installed again goes on with it.

tc:sites                  set       every known site
  by                      Schedule.add_site, Schedule.remove_site
  expires                 never
tc:refused_webhook        string    why the last webhook was refused that looked like Wix's, and when, as JSON
  by                      refused_webhooks.py
  expires                 7 days; removed: 7 days
tc:untrusted_peers        string    peers outside of TRUSTED_PROXIES that sent X-Forwarded-For, each with the time (in seconds) when it last
                          did, as JSON: at most 8 private addresses, or networks of public ones
  by                      untrusted_peers.py
  expires                 1 hour; removed: 1 hour
tc:worker                 string    what a worker last said of itself: its version, and for how many sites Wix does not answer, as JSON
  by                      worker_status.py
  expires                 30 s; removed: 30 s
tc:widget:HASH            string    the widget's file with this hash, of any version that has run
  by                      widget_files.py
  expires                 400 days; removed: 400 days
tc:{SITE}:site            hash      a known site
  exists                  1
  rules, rules_at         the hash of the rules that its counters are made by, and since when it has them
  contract                CONTRACT of these rules, and the rules: 2:RULES
  origin                  settings, added or installed (model.SiteOrigin); none: it was stored before this was noted
  in_settings_at          when a process last said that the site stands in its WIX_SITES
  all                     1: every ticket is tracked; 0: those that are watched
  listed                  when its listing was last claimed, extended or ended
  complete                1: a listing has ended of which every ticket was stored
  list_faults             faults of Wix in a row that ended its listing
  events_not_before       until then no event is read, after a fault or without the permission
  events_faults           faults of Wix in a row at reads of events
  first_next, first:N     a ring of the times of its last first reads (the budget for unknown tickets), and the next place in it
  by                      add_site.lua, in_settings.lua, claim.lua, extend.lua, watch.lua, delay_events.lua, keep_events.lua
  expires                 never; removed: at once
tc:{SITE}:due             zset      tracked tickets, and * for the listing, by the time when each is due or its lease ends
  by                      add_site.lua, mark.lua, watch.lua, claim.lua, extend.lua, settle.lua, budget.lua
  expires                 never; removed: at once
tc:{SITE}:hinted          zset      tickets that are read for a hint, by the time of the last hint
  by                      mark.lua, settle.lua
  expires                 never; removed: at once
tc:{SITE}:watched         zset      tickets by the time until which they are watched; for a day after it
  by                      watch.lua, settle.lua
  expires                 never; removed: at once
tc:{SITE}:holds           zset      TICKET:TIME of the end of each hold, all with score 0
  by                      mark.lua, settle.lua
  expires                 never; removed: at once
tc:{SITE}:events_due      zset      events by the time when each is due or its lease ends
  by                      mark.lua, watch.lua, event_lot.lua, settle.lua, keep_events.lua
  expires                 never; removed: at once
tc:{SITE}:events_hinted   zset      events that are read for a hint, by the time of the last hint
  by                      mark.lua, settle.lua, event_lot.lua
  expires                 never; removed: at once
tc:{SITE}:events_watched  zset      events by the time until which a ticket of theirs is watched; for a day after it
  by                      watch.lua, settle.lua, event_lot.lua
  expires                 never; removed: at once
tc:{SITE}:shown_watched   zset      events by the time until which the list of their tickets is watched; for a day after it
  by                      watch_events.lua
  expires                 never; removed: at once
tc:{SITE}:slugs           hash      the event of each slug
  SLUG                    the event that has it
  by                      keep_events.lua
  expires                 never; removed: at once
tc:{SITE}:claimed         zset      tickets by the time of their last claim: those of the last lot, and of READ_GAP before it
  by                      claim.lua, gap.lua
  expires                 never; removed: at once
tc:{SITE}:heard           hash      the site's webhooks
  at                      when the newest one came
  TYPE:at, TYPE:count     when the newest one of a type came, and how many have come
  falls                   how often stock fell since then and no webhook reported it
  falls:first, falls:last when it first and last fell so
  falls:tickets           how many tickets these falls come to
  by                      mark.lua, silence.lua
  expires                 never; removed: at once
tc:{SITE}:reads           hash      the site's budget, its pause, and the versions of its reads
  tokens, filled_at       calls that might begin at once, and when that was so
  version                 of the last call: when it was paid for, rising always
  last_events             when the last lot of events was claimed
  last_call, last_lot     when the last call and the last lot were paid for
  lot:VERSION             of a read in flight (its version, * = a listing) the end of its lease, then when it ended
  paused_until            when the pause after a fault of Wix ends
  faults, probe           faults in a row, and until when the one call after a fault has its answer
  fault                   what was wrong the last time, and what to do, as JSON
  small                   how often in a row a fault has made lots a quarter as large
  by                      claim.lua, spend.lua, settle.lua, pause.lua, extend.lua, budget.lua, remove_site.lua
  expires                 never; removed: 2 days
tc:{SITE}:ticket:TICKET   hash      the snapshot of a ticket
  version, read_at        of the last accepted read its version, and when it was claimed
  v, counter              the version of the read that last changed the counter, and the counter as JSON
  facts, unsold, held     the facts as JSON, and the tickets left and reserved: '' = none
  event, pace, rules      its event ('' = unknown); live, slow, dead or never; the hash of the rules the counter was made by
  place                   what sorts the tickets of its event; '' = it is not shown; draft = its event is not published
  missing                 1: Wix's last answer left it out
  by                      keep.lua, miss.lua
  expires                 never; watched: 2 days; deleted: 2 days; never there: 60 s; removed: 2 days
tc:{SITE}:event_snapshot:EVENT hash the snapshot of an event
  version, read_at        of the last accepted read its version, and when it was claimed
  facts, slug             the facts as JSON, and its slug ('' = none)
  left_out                1: the answer left it out, as it does drafts and deleted events; 0: it did not
  by                      keep_events.lua, event_lot.lua
  expires                 never; watched: 2 days; deleted: 2 days; removed: 2 days
tc:{SITE}:event:EVENT     set       the tickets of an event
  by                      keep.lua
  expires                 never; watched: 2 days; removed: 2 days
tc:{SITE}:shown:EVENT     string    the tickets of an event that are shown, in order, as JSON; none while it is not published
  by                      keep.lua
  expires                 never; watched: 2 days; removed: 2 days
tc:{SITE}:changes         stream    changes of facts, for consumer groups; entries are kept for 7 days
  ticket, event, v        what changed, and the version of the read
  before, after           the facts as JSON; left out of a new ticket, of a deleted one
  by                      keep.lua, changes.py
  expires                 never; removed: 2 days
tc:{SITE}:history         stream    what was read and shown; entries are kept for HISTORY_DAYS
  ticket, v               which ticket, and the version of the read
  unsold, held            the tickets left, and reserved in carts: '' = none
  cause                   what caused the read: hint, viewers, clock or listing
  counter                 the counter as JSON, where it changed
  by                      keep.lua
  expires                 never; removed: 2 days
tc:{SITE}:sync:TARGET:due zset      tickets by the time when each is due at a target of sync; of one that is leased: due after that
  by                      sync_mark.lua, sync_claim.lua, sync_settle.lua
  expires                 never; removed: never
tc:{SITE}:sync:TARGET:leased zset   tickets that a process brings to a target, by the end of its lease
  by                      sync_claim.lua, sync_settle.lua
  expires                 never; removed: never
tc:{SITE}:sync:TARGET:record:TICKET hash what is remembered of a ticket at a target
  event, name, record     its event and its name, and the key of its record there
  applied, applied_at     what was written last and read back, as JSON, and when (seconds since 1970)
  state, state_at         what became of it (sync/model.py), since when
  text, cure, tries       why, what helps, and how many tries in a row have failed
  attempt, unsure_at      which creation this is, and when one was sent that was not answered
  unsure_of, digest       the digest of what was sent then, and of the mapping by which it was brought
  removed                 1: its record was taken off sale, since the ticket was deleted
  by                      sync_remember.lua
  expires                 never; removed: never
tc:{SITE}:sync:TARGET:states hash   of each ticket that is remembered
  TICKET                  its state and its event
  by                      sync_remember.lua
  expires                 never; removed: never
tc:{SITE}:sync:TARGET:events set    the events that are followed at a target
  by                      sync_records.py
  expires                 never; removed: never
tc:{SITE}:sync:TARGET:event:EVENT hash what is remembered of a followed event, each as JSON
  event, target_event     its id, and its name at the target
  place                   where the target has it: address, organizer, event
  title, since            its title, and since when it is followed (seconds since 1970)
  wait_until, faults      until then the target is not asked for it, after so many faults in a row
  error                   the last of them
  audit_at, left_alone    when all of it was last compared, and how many records bore no id of ours
  notes                   what a person should know of its records
  by                      sync_records.py
  expires                 never; removed: never
tc:{SITE}:sync:TARGET:deactivated:EVENT zset tickets whose records were taken off sale, by the time (seconds since 1970)
  by                      sync_records.py
  expires                 2 hours; removed: 2 hours
tc:sync                   hash      what all of sync remembers
  since                   since when this Redis has it (seconds since 1970); without it, it was lost
  lost:TARGET             1: events of the target that were applied have to be looked for
  by                      sync_targets.py
  expires                 never; removed: never
tc:{sync:TARGET}:state    hash      a target of sync
  paused, paused_at       the reason that a person gave, and when
  wait_until, faults      until then nothing is sent, after so many faults in a row
  error, error_at         the last of them
  answered_at, latency    the last good answer, and the seconds it took
  digest                  of its settings
  served_at               when a worker last said that it brings tickets there (seconds since 1970)
  served_digest           the digest of the settings with which it does
  by                      sync_targets.py
  expires                 never; removed: never
tc:{sync:TARGET}:sites    set       the sites of which an event is followed at a target
  by                      sync_records.py
  expires                 never; removed: never
tc:{sync:TARGET}:budget   hash      the budget of a target of sync
  at, paid_at             when the last request that was paid for may be sent, and when it was paid for
  by                      sync_pay.lua
  expires                 2 minutes; removed: 2 minutes
tc:{sync:SERVER}:lease:N  string    the process that may write to a server; N counts those that may do so at once
  by                      lease.lua
  expires                 30 s; removed: 30 s
tc:{sync:SERVER}:lease_queue:N zset processes that wait for it, by the time of their last question
  by                      lease.lua
  expires                 2 s; removed: 2 s
tc:{SITE}:notify:requests:KIND hash what visitors asked of notify and no worker has done yet; KIND is opt-out or sign-up
  ID                      when it was asked (seconds since 1970), tries, claim, content (encrypted), place or event; ID is a keyed
                          hash of the recipient, after the event of a sign-up
  by                      notify_request.lua, notify_request_claim.lua, notify_request_settle.lua, notify_requests.py
  expires                 never; removed: never
tc:{SITE}:notify:requests:KIND:due zset their ids by the time of the next try, or of the end of a worker's claim (seconds since 1970)
  by                      notify_request.lua, notify_request_claim.lua, notify_request_settle.lua, notify_requests.py
  expires                 never; removed: never
tc:{SITE}:notify:requests:KIND:waiting zset the same by the time of asking
  by                      notify_request.lua, notify_request_settle.lua, notify_requests.py
  expires                 never; removed: never
tc:{SITE}:notify:requests:KIND:parked zset ids of those that were given up, without their content, by the time of that
  by                      notify_request_settle.lua, notify_requests.py
  expires                 90 days; removed: 90 days
tc:{SITE}:notify:requests:KIND:given-up hash why a request was given up
  ABOUT                   place or event: the last reason
  by                      notify_request_settle.lua, notify_requests.py
  expires                 90 days; removed: 90 days
tc:{SITE}:notify:requests:KIND:faults hash why the last try failed
  ABOUT                   place or event: the reason
  by                      notify_request_settle.lua
  expires                 90 days; removed: 90 days
tc:{SITE}:notify:requests:opt-out:lately:RECIPIENT string a recipient (keyed hash) whose opt-out was done lately
  by                      notify_request_settle.lua
  expires                 10 minutes; removed: 10 minutes
tc:{SITE}:notify:requests:sign-up:lately:RECIPIENT set events for which a recipient (keyed hash) was signed up lately
  by                      notify_request.lua
  expires                 24 hours; removed: 24 hours
tc:{SITE}:notify:requests:sign-up:sender:SENDER string how many sign-ups came from a client's address (keyed hash)
  by                      notify_request.lua
  expires                 1 hour; removed: 1 hour
tc:{SITE}:notify:events   hash      the events that notify.toml has named
  EVENT                   since when: nothing that went on sale before is announced (seconds since 1970)
  by                      notify_switch_on.lua
  expires                 never; removed: never
tc:{SITE}:notify:event:EVENT hash   what is remembered of such an event
  sign_up, mail, push     1: its tool takes sign-ups; 1: it has a tool, so mails go out; 1: browsers may subscribe to it
  title, language         of its messages and of its page
  date_told, date_told_at the date that the tool was told last, and when (seconds since 1970)
  date_place              a digest of the list and the field in which the tool holds it
  date_error              why it could not be told
  by                      notify_events.py
  expires                 never; removed: never
tc:{SITE}:notify:date_lease:EVENT string the process that brings the date to the tool
  by                      lease.lua
  expires                 30 s; removed: 30 s
tc:{SITE}:notify:announced hash     every ticket that was announced
  TICKET                  the campaign that did so
  by                      notify_open.lua, notify_join.lua
  expires                 never; removed: never
tc:{SITE}:notify:campaigns zset     campaigns by the start of the sale (seconds since 1970)
  by                      notify_open.lua
  expires                 never; removed: never
tc:{SITE}:notify:campaign:CAMPAIGN hash a campaign; times are in seconds since 1970, as in all keys of notify
  event, event_name       the event's id, and what notify.toml calls it
  title, tickets          the event's title, and the tickets that are announced
  start, deadline         of the sale, and after which nothing goes out
  opened_at, opened_by    when, and by clock or person
  key                     the id of the key by which its recipients are hashed
  stopped_at, stopped_by  when a person stopped it, and whose name they gave
  too_late                1: only a record of what was missed
  by                      notify_open.lua, notify_join.lua, notify_stop.lua
  expires                 90 days; removed: 90 days
tc:{SITE}:notify:run:CAMPAIGN:CHANNEL hash how far a campaign is on one channel
  state, note             as in notify/model.py, and why
  total, passes           recipients that the tool names, and how often all of them were read
  started_at, ended_at    when a first message was about to be claimed, or was; and of the end
  claimed, waiting, sent  how many rows are so
  failed, skipped, unknown the same
  reason:STATE:TEXT       how many rows are so for this reason
  by                      notify_begin.lua, notify_claim.lua, notify_mark.lua, notify_skip.lua, notify_lease.lua, notify_note.lua,
                          notify_stop.lua
  expires                 90 days; removed: 90 days
tc:{SITE}:notify:rows:CAMPAIGN:CHANNEL hash the outbox: a row for each recipient
  ROW                     its state, attempts, next try, worker, when that was written, and the reason, with a space between
  by                      notify_claim.lua, notify_mark.lua, notify_skip.lua, notify_lease.lua, notify_forget.lua
  expires                 90 days; removed: 90 days
tc:{SITE}:notify:claimed:CAMPAIGN:CHANNEL zset rows that are claimed, by the time of the claim
  by                      notify_claim.lua, notify_mark.lua, notify_lease.lua
  expires                 90 days; removed: 90 days
tc:{SITE}:notify:waiting:CAMPAIGN:CHANNEL zset rows that wait, by the time of the next try
  by                      notify_claim.lua, notify_mark.lua, notify_skip.lua
  expires                 90 days; removed: 90 days
tc:{SITE}:notify:unknown:CAMPAIGN:CHANNEL set rows that were handed over and not answered
  by                      notify_mark.lua, notify_lease.lua
  expires                 90 days; removed: 90 days
tc:{SITE}:notify:lease:CAMPAIGN:CHANNEL string the worker that runs it
  by                      notify_lease.lua
  expires                 10 s; removed: 10 s
tc:{SITE}:notify:suppressed hash    who opted out
  KEY.HASH                a keyed hash of the address, with the id of its key: the reason, and when
  by                      notify_suppress.lua, notify_claim.lua
  expires                 never; removed: never
tc:{SITE}:notify:suppression_keys hash the keys by which it is known who opted out
  KEY                     how many hashes were made with it
  by                      notify_suppress.lua, notify_claim.lua
  expires                 never; removed: never
tc:{notify:SERVER}:pace   hash      the pace of a channel, mail or push; times as in the schedule, in microseconds
  at, paid_at             when the last message that was paid for may be sent, and when it was paid for
  by                      notify_pay.lua
  expires                 2 minutes; removed: 2 minutes
tc:{notify:SERVER}:state  hash      a relay, or a push service: mail, or push HOST
  faults                  faults in a row of which no recipient is the cause
  reason, cure, paused_at why it is paused, what helps, and since when
  next_probe, probes      when one message is tried next, and how many were
  probing_until           until when the worker that does so may take
  wait_until              it asked us to send nothing until then
  by                      notify_server.lua
  expires                 90 days; removed: 90 days
tc:notify:servers         set       the servers of which something is remembered
  by                      channel_servers.py
  expires                 never; removed: never
tc:{SITE}:GROUP:parked    hash      entries of changes that a consumer group could not process
  ENTRY                   entry id: its ticket and the reason
  by                      changes.py
  expires                 never; removed: never
tc:{SITE}:notify:push:subscriptions hash push subscriptions of browsers
  ID                      keyed hash of event and endpoint: since when, confirmed or waiting, hashes of sender and keys, event, key of
                          ours, language, endpoint and keys (encrypted)
  by                      push_subscribe.lua, push_confirm.lua, push_remove.lua, push_expire.lua
  expires                 never; removed: never
tc:{SITE}:notify:push:unconfirmed zset those whose token has not come back, by the time when they came (seconds since 1970); for an hour
  by                      push_subscribe.lua, push_confirm.lua, push_remove.lua, push_expire.lua
  expires                 never; removed: never
tc:{SITE}:notify:push:first zset those whose first push is to be sent, by the time when it is due
  by                      push_subscribe.lua, push_first.lua, push_confirm.lua, push_subscriptions.py
  expires                 never; removed: never
tc:{SITE}:notify:push:senders hash how many are unconfirmed of each client's address
  HASH                    keyed hash of the address: their number
  by                      push_subscribe.lua, push_confirm.lua, push_remove.lua, push_expire.lua
  expires                 never; removed: never
tc:{SITE}:notify:push:asked zset those that got a first push in the last day, by its time; with a hash of their keys where it came back
  by                      push_confirm.lua, push_subscribe.lua, push_subscriptions.py
  expires                 never; removed: never
tc:{SITE}:notify:push:confirmed zset those that count, by the time since which they do; for 400 days
  by                      push_subscribe.lua, push_confirm.lua, push_remove.lua
  expires                 never; removed: never
tc:{SITE}:notify:push:event:EVENT zset those of an event that count, all with score 0
  by                      push_subscribe.lua, push_confirm.lua, push_remove.lua
  expires                 never; removed: never
tc:wake                   channel   SITE, when one of its tickets or its listing has become due
  by                      add_site.lua, mark.lua, watch.lua
tc:{SITE}:live:TICKET     channel   the counter as JSON, when it has changed (sharded pub/sub in a cluster)
  by                      keep.lua
tc:{SITE}:tickets:EVENT   channel   the list of an event's tickets as JSON, when it has changed; EVENT is its id, and its slug
  by                      keep.lua, keep_events.lua
tc:probe:UUID             channel   what a process sends itself to see that pub/sub works
  by                      redis/listener.py
tc:{TAG}:probe:UUID       channel   the same in a cluster, for a slot of each node
  by                      redis/links.py
"""

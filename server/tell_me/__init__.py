"""/tell-me: the page on which a visitor asks to be told when tickets go on sale.

page.py              the page and its files
subscriptions.py     subscribe, confirm, unsubscribe: of a browser, by Web Push
sign_up.py           an e-mail address, where the event's marketing tool takes sign-ups
posts.py             what a request to these has to be: from our own page, small and fast
asked_event.py       the event that a request names, and how visitors can be told of it
texts.py             the sentences of the page, from texts/
service_worker.js    shows push messages, and opens the page at a click
tell_me.js tell_me.css icon.png   the files of the page
"""

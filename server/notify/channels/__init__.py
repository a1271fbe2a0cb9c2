"""The ways to send.

channel.py       the Protocol: what notify needs of one
mail.py          hands one message to the relay
relay.py         connections to the relay
smtp_replies.py  what a reply of the relay means
push.py          hands one message to a browser's push service
push_payload.py  what a push message says, as bytes
"""

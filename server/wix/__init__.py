"""Wix, seen from here: who signed a webhook, what it means, and what its API answers."""

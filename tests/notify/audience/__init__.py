"""Tests of server/notify/audience."""

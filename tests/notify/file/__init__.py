"""Tests of server/notify/file."""

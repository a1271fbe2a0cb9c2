"""Tests of server/tell_me."""

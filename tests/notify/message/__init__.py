"""Tests of what a message says, and how it is written."""

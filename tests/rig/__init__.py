"""The servers that tests run against: real ones, each on a free port of 127.0.0.1."""

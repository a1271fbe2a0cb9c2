"""The same counter on other servers, one program each, called with PORT REDIS_PORT CHANNEL…."""

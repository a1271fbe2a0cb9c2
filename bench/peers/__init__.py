"""The same counter as others would serve it, one program each, called with PORT REDIS_PORT CHANNEL…."""

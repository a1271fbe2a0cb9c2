"""What tests run against: real servers, clients and proxies, each on a free port of 127.0.0.1."""

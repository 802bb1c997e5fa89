"""The HTTP layer for untrusted clients: connections, bodies, rates, admission, errors."""

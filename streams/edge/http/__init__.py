"""HTTP for strangers: connections, bodies, rates, admission, errors."""

"""Pages, made from a request and its copy."""

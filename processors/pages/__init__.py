"""A request and its copy become a page."""

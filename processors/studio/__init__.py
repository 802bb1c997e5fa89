"""The studio's pages and their words."""

"""Clients for all data stored in Redis."""

"""The Redis client: bounded waits, bytes in and out."""

from redis.asyncio import Redis


def open_redis(url: str) -> Redis:
    """A client for the URL; nothing is opened before the first call."""
    return Redis.from_url(url, socket_connect_timeout=2, socket_timeout=3, health_check_interval=30)

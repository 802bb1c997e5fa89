"""The Kafka REST Proxy's v2 API."""

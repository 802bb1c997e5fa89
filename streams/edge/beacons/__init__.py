"""The beacon route: judge a beacon, send it to Kafka."""

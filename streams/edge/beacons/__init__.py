"""The beacon route, which checks a beacon and sends it to Kafka."""

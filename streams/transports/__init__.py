"""Faust's Kafka transports: the consumer thread, a transport of slices and a transport of records."""

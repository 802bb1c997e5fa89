"""How Faust reads Kafka here: a thread that owns the consumer, and two transports, of slices and of records."""

"""What an experiment learns from its counts: weights for the next minute, and whether it is decided."""

"""How long tests wait for an event that must come.

A wait ends when its event comes. The limit only ends a test that fails, so it is far above the needs of a busy machine.
"""

PATIENCE_S = 240.0
SLACK_S = 20.0  # how much later than planned a busy machine may be; what a test rules out takes longer

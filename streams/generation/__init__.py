"""The generation flow: a request is split into steps, and the steps give a page before the deadline."""

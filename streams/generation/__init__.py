"""The generation flow: a request becomes steps, the steps become a page before the deadline."""

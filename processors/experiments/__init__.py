"""Experiments: from counts to the weights for the next minute and the decision."""

"""Pictures that are made on demand: heatmaps, screenshots, cards of pages."""

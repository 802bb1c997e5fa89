"""Pictures that are made on demand: heatmaps, screenshots and cards of pages."""

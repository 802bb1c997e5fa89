"""The drawings of the curated pictures (SVG), and the encoder that makes the files for pages."""

"""The studio's pages and their texts."""

"""The operators' work on stored data: rebuild tables, replay dead letters, erase pages."""

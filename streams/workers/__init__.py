"""A worker process: its Faust app, its membership in the group, its server for health and metrics."""

"""The heatmap flow: log slices become buckets, then rows in ClickHouse; then offsets are committed."""

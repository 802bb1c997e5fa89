"""The heatmap flow: slices of the log become buckets, buckets become rows in ClickHouse, then offsets are committed."""

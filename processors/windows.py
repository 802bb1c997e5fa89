"""placeholder"""
WINDOW_MS = 5000
def bucket_of(timestamp_ms: int) -> int:
    return timestamp_ms // WINDOW_MS

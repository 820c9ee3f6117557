"""What a call reads and writes: dtypes, shapes, parts, destinations."""

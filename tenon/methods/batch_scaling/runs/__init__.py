"""Tables of runs: one training per row, read from what people have, every column in one unit."""

"""The command line: `tenon`."""

"""What more than one importer has: errors, bounds, and what it builds out of `bw` operations."""

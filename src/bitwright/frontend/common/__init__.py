"""What more than one importer builds out of `bw` operations."""

"""One file a claim: each prints a table, its figure last, and exits 1 when it misses its target."""

"""What atio costs beside its floor and its peers: ``python -m benchmarks``. See README.md here."""

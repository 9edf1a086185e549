"""One worker a product, each in an interpreter of its own; all speak the protocol of `base`."""

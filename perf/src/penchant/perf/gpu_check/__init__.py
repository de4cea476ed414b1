"""What a machine with an NVIDIA GPU gives: parity, training, engines, each beside its floor."""

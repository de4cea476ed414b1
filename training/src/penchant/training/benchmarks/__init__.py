"""Measurements of training and of nets alone, of either kind, that need no data from elsewhere."""

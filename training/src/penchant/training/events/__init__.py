"""The customer event log: read, cleaned, counted, and turned into examples and statistics."""

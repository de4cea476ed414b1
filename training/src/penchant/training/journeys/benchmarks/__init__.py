"""Runs against published numbers on public data that may not be shipped with the code."""

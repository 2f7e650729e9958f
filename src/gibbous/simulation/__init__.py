"""Callables to rows to batches."""

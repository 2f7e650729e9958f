"""Measurements too slow or too noisy for tests. Run as `python -m benchmarks.NAME --help`."""

"""Measurements too slow or too noisy for tests.

`python -m benchmarks run` and `... table` set methods and peers side by side; the other studies run
as `python -m benchmarks.choices` and `python -m benchmarks.draw_times`. All answer to `--help`.
"""

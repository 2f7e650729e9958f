"""Findings and figures as one self-contained page."""

from gibbous.report.page import Section, Table, write_page

__all__ = ["Section", "Table", "write_page"]

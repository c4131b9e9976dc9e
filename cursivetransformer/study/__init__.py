"""Measuring, and looking inside."""

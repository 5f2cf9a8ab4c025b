"""Frozen values and pure policy: what the product decides, on the standard library alone."""

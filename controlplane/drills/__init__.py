"""Drills: a known fault put into a sandboxed copy of a monitor, to see how the real engine takes it."""

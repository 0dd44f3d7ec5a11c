"""Errors, files, checkpoints and devices."""

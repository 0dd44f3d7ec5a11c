"""Predictions, metrics and baselines."""

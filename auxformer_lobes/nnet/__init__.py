"""Layers, losses and schedulers."""

"""Trained models on media files."""

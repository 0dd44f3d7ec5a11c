"""Invented people who speak and show emotions: data for demos and tests."""

"""Synthetic voices, faces, raters and corpora, for demos and tests."""

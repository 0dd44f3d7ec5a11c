"""Detection, tracking and smoothing of faces."""

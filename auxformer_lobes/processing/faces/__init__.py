"""Face detection, tracking, smoothing and cropping."""

"""From media files to features, `[time, channels]`."""

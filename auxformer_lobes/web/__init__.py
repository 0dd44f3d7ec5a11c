"""A page in the browser: emotion over time, in one file at a time."""

"""Media files and faces in them."""

"""Export, the Hugging Face Hub, and safe loading."""

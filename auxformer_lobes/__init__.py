"""AuxFormer for SpeechBrain: robust audiovisual emotion recognition."""

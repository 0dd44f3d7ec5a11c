"""The AuxFormer networks."""

"""The commands of `auxformer`."""

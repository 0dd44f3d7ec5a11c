"""The commands of `auxformer`; what one needs is imported when it runs."""

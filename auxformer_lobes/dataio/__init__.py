"""Labels, manifests, feature stores and datasets."""

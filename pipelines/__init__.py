"""Kubeflow pipelines made of the components."""

"""Kubeflow Pipelines: a pipeline is compiled, described, run on this machine, or submitted to a cluster.

With components/ and pipelines/ the only importer of kfp.
"""

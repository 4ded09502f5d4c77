"""Kubeflow components: one file a task, typed ports around one call of the library."""

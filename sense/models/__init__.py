"""The registry from the command line: versions looked at, compared, measured, promoted and rolled back. `sense models`."""

"""TODO-HELPER: module docstring."""

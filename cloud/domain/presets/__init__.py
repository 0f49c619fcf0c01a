"""Definitions of passer-by, visitor and dwell, ours and other vendors', as YAML beside this file."""

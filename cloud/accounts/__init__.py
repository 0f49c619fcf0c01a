"""Merchants and their people: who may see and do what. docs/adr/0014-accounts.md says why it is as it is."""

"""The papers of a store, made of how it runs: the sign, the notice, and the sheet for the impact assessment (DPIA)."""

"""The contract with the cloud: what a batch is, byte for byte (core; imports nothing of ours). SPEC.md is normative."""

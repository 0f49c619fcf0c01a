"""Makes air: shoppers, their phones, the frames they send, and the truth beside them. Writes captures; uses nothing of the agent or the cloud."""

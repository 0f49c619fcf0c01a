"""Makes air: shoppers -> phones -> frames, with the truth beside them. Writes captures; uses nothing of either half."""

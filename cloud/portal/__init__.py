"""The store's page: what a shopper sees over the store's Wi-Fi, and what a merchant needs to write it. docs/portal.md."""

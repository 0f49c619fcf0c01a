"""Sites and access points: who may send, for which store, under which rules."""

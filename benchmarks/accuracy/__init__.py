"""How right the counts are: crowds mixed from labelled sessions, scores, and other ways of joining to compare with."""

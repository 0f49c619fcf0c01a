"""Where the lake's objects lie."""

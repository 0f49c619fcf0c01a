"""From sightings to figures: the shared SQL texts, the engines that run them, and what is computed around them."""

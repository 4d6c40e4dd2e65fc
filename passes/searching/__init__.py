"""Finding the mappings of a whole chain: every distinct layer once, from a cache on disk where it was found before."""

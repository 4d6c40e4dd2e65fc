"""Models that fail, made as small as they can be while they go on failing."""

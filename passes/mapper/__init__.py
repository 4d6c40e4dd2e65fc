"""The mapper for any memory hierarchy: loop nests as data, what they cost, and the search for the best one."""

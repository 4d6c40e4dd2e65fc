"""Mappings of links onto a machine: checking them, counting what they cost, searching for good ones."""

"""Target descriptions in TOML: how they are read, extended and checked, and where they are wrong."""

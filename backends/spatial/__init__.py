"""The generic spatial machine: one instruction set and emulator for every row-stationary array described in TOML."""

"""Folders that show a failure again: what was compiled or executed when it came, and the command that ends as it did.

`recording` keeps the IR as it was before the pass that fails, `keeping` writes it down around a compilation; `programs`
does so for faults of the emulator, `commands` for bugs anywhere else. `folder` is how the files are written, `record`
what is said beside them, and `replaying` runs what was written: what `catena opt FILE --run-reproducer` does.
"""

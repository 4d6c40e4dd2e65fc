"""Where a program is wrong that differs from its reference: the layer, the tile, the instruction, and a way to see it.

`evidence` is what verification leaves of the first wrong layer. `tiles` finds the first turn of its loops with a wrong
result. `recompiling` makes the program again from its own decisions and the model; `instructions` finds the instruction
or constant in which the two differ and whose repair mends the layer. If there is none, the emulator is to blame:
`effects` finds the first instruction that does something else than its layer is defined to do, `engines` that after
which two engines disagree, where definitions do not tell. `reproducer` cuts all of it out of the network.
"""

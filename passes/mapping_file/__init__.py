"""Mapping files: how layers are mapped, in TOML, to keep, to edit and to use again.

    format = 1
    target = "eyeriss"

    [layers."relu1"]
    loops = "C op 64 ks 3, H opc 32 ks 7 stride 2 pad 3, W opc 32 ks 7 stride 2 pad 3"
    mapping = \"\"\"
    for H.opc 7
    store glb [O]           # what stands behind a # is for people
    for C.ks 1
    store glb [I]
    for C.op 32
    store spad [K]
    par H.ks 1 on row
    par C.op 16 on col
    par H.opc 1 on col
    \"\"\"

    [zeros]
    "conv2" = { input = 0.387, output = 0.83 }

A layer is named by an ONNX node or by the tensor it makes. Layers that the file does not name, or gives no `mapping`,
are left to the mapper. `?` in the place of a tile leaves it open, and a line `...` stands for any statements: the best
mapping of this form is searched (`passes.mapping_file.completing` says among which).

What is saved says also how good the search knows a mapping to be (`search`), which holds as long as the `checksum` of
machine, loops and mapping agrees; after a change both can stay, or go.

`format`, `target` and `loops` may be left out. A file without a format has the one above; where the others stand, they
must be those of the compilation. `mode = "offload"` says
that the layers are those after the host core has got its share, whose steps are then layers of their own. A mapping may
also be text as the IR prints it: `"relu1" = "#schedule.row_stationary<m 96, ...>"`; `"host"` leaves a layer to the host
core.

`groups`, above all tables, is the text of `fuse` statements (`passes.mapping_file.statements`): links that take turns
on tiles. Links of a group have no mapping among the layers.

Mapping files are of machines with an array. On a machine of many cores (`rram`) its passes lay layers over cores, as
`--set schedule.KEY=VALUE` of the target has it, and `--mapping` and `--save-mapping` are refused.
"""

FORMAT = 1
"""The version of the format that is written, and the newest that is read."""
LAYERS, ZEROS, TARGET, MODE, GROUPS = "layers", "zeros", "target", "mode", "groups"
"""The keys of a mapping file beside `format`."""
HOST = "host"
"""The mapping of a layer that the host core executes."""

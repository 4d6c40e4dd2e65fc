"""Every pass by its command-line name, loaded only when asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from xdsl.passes import ModulePass

_PASSES: dict[str, str] = {
    # name -> "module:class", in the order of the default pipeline
    "bind-weights": "passes.bind_weights:BindWeightsPass",
    "pin-mappings": "passes.pin_mappings:PinMappingsPass",
    "fold-constants": "passes.fold_constants:FoldConstantsPass",
    "lower-onnx": "passes.lower_onnx:LowerOnnxPass",
    "fold-views": "passes.fold_views:FoldViewsPass",
    "fold-quantization": "passes.fold_quantization:FoldQuantizationPass",
    "evaluate-constants": "passes.evaluate_constants:EvaluateConstantsPass",
    "match-activations": "passes.match_activations:MatchActivationsPass",
    "fold-copies": "passes.fold_copies:FoldCopiesPass",
    "fold-pad": "passes.fold_pad:FoldPadPass",
    "fuse-elementwise": "passes.fuse_elementwise:FuseElementwisePass",
    "share-terms": "passes.share_terms:ShareTermsPass",
    "broadcast-reductions": "passes.broadcast_reductions:BroadcastReductionsPass",
    "split-steps": "passes.split_steps:SplitStepsPass",
    "fold-weights": "passes.fold_weights:FoldWeightsPass",
    "fuse-pre": "passes.fuse_pre:FusePrePass",
    "fold-lookups": "passes.fold_lookups:FoldLookupsPass",
    "merge-dims": "passes.merge_dims:MergeDimsPass",
    "copy-concat": "passes.copy_concat:CopyConcatPass",
    "legalize-words": "passes.legalize_words:LegalizeWordsPass",
    "measure-zeros": "passes.measure_zeros:MeasureZerosPass",
    "choose-encodings": "passes.choose_encodings:ChooseEncodingsPass",
    "assign-host": "passes.assign_host:AssignHostPass",
    "form-groups": "passes.form_groups:FormGroupsPass",
    "fuse-layers": "passes.fuse_layers:FuseLayersPass",
    "map-row-stationary": "passes.map_row_stationary:MapRowStationaryPass",
    "map-nest": "passes.map_nest:MapNestPass",
    "dissolve-groups": "passes.dissolve_groups:DissolveGroupsPass",
    "map-gemm": "passes.map_gemm:MapGemmPass",
    "drop-encodings": "passes.drop_encodings:DropEncodingsPass",
    "measure-skips": "passes.measure_skips:MeasureSkipsPass",
    "slice-weights": "passes.slice_weights:SliceWeightsPass",
    "partition-crossbars": "passes.partition_crossbars:PartitionCrossbarsPass",
    "duplicate-weights": "passes.duplicate_weights:DuplicateWeightsPass",
    "place-cores": "passes.place_cores:PlaceCoresPass",
    "schedule-cores": "passes.schedule_cores:ScheduleCoresPass",
    "fuse-rows": "passes.fuse_rows:FuseRowsPass",
    "choose-layouts": "passes.choose_layouts:ChooseLayoutsPass",
    "order-segments": "passes.order_segments:OrderSegmentsPass",
    "place-spatial": "passes.place_spatial:PlaceSpatialPass",
    "place-gemm": "passes.place_gemm:PlaceGemmPass",
    "place-nest": "passes.place_nest:PlaceNestPass",
    "place-multicore": "passes.place_multicore:PlaceMulticorePass",
    "bound-buffers": "passes.bound_buffers:BoundBuffersPass",
    "synchronize-cores": "passes.synchronize_cores:SynchronizeCoresPass",
    "prove-order": "passes.prove_order:ProveOrderPass",
}


def _loader(path: str) -> Callable[[], type[ModulePass]]:
    def load() -> type[ModulePass]:
        module, name = path.split(":")
        return cast("type[ModulePass]", getattr(import_module(module), name))

    return load


def available_passes() -> dict[str, Callable[[], type[ModulePass]]]:
    """Pass factories by name; calling one imports the pass."""
    return {name: _loader(path) for name, path in _PASSES.items()}

"""Float models to models with many weights of zero, for targets that leave them out."""

from compiler.pruning.options import PruneOptions, Structure
from compiler.pruning.pruning import Pruned, prune_model

__all__ = ["PruneOptions", "Pruned", "Structure", "prune_model"]

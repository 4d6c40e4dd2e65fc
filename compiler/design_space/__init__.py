"""What a network costs on many machines, fused or not, pruned and quantized: points of a space and their front."""

from compiler.design_space.exploring import Explored, explore_space
from compiler.design_space.space import Space, read_space

__all__ = ["Explored", "Space", "explore_space", "read_space"]

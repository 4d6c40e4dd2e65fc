"""What instructions configure: what a machine has to hold after each of them, as the code says."""

from compiler.localising.configuration.configured import Configurations

__all__ = ["Configurations"]

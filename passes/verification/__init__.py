"""Our own verifier, run after every pass: everything wrong with a module at once.

xDSL checks each op against its definition and stops at the first failure. This adds what it leaves out: definitions
before uses, attributes that nobody declares, locations, and the ops that are legal at a stage.
"""

from passes.verification.legality import STRUCTURE, Legality
from passes.verification.module import Verifier, verify_module
from passes.verification.problems import Problem, name_of, value_name

__all__ = ["STRUCTURE", "Legality", "Problem", "Verifier", "name_of", "value_name", "verify_module"]

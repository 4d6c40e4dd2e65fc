"""The emulator to blame in a run of the whole program where every layer alone is right: it goes by what came before."""

from __future__ import annotations

from backends.api import Emulator, ObservedRunEmulator
from backends.effects import Effect, Shown
from backends.isa import Isa
from backends.program import Program
from compiler.execution import program_inputs
from compiler.explanation.layers import explained_layers
from compiler.host_execution import HostRuntime
from compiler.localising.as_a_whole import Departure
from compiler.localising.blame import Blame
from compiler.localising.by_code import by_code
from compiler.localising.checking import CheckedEffects, TooManyTermsError
from compiler.localising.configured import Configurations
from compiler.localising.defined import DefinedLayers, UndefinedLayerError
from compiler.localising.effects import blame_for
from compiler.localising.evidence import WrongOutputs
from compiler.localising.wrong import WrongEffectError
from dialects.diagnostics import CatenaError


def blamed_in_run(
    program: Program, emulator: Emulator, wrong: WrongOutputs, departure: Departure | None, isa: Isa
) -> Blame | None:
    """The first instruction that configures something else than the code says, or whose effect is wrong in the layer
    that first makes something else than alone; None if there is none, or nobody knows.
    """
    if not isinstance(emulator, ObservedRunEmulator):
        return None
    defined = None if departure is None else _defined(program, departure)
    for checks in (defined, None):
        layers = None if departure is None or checks is None else by_code(program, departure.layer, checks, isa)
        checked = None if checks is None else CheckedEffects(checks, layers)
        observer = _OfRun(Configurations(program, range(len(program.layers)), isa), checks, checked)
        host = HostRuntime(program)
        on_device = {entry.name: wrong.inputs[entry.name] for entry in program_inputs(program)}
        try:
            host.start(wrong.inputs)
            emulator.observe_run(on_device, observer, host=host.call if host else None)
            if checked is not None:
                checked.end()
        except WrongEffectError as found:
            return blame_for(program, isa, {} if checks is None else checks.expectations, found)
        except TooManyTermsError:
            continue
        except CatenaError:
            return None
        break
    return None


def _defined(program: Program, departure: Departure) -> DefinedLayers | None:
    """The layers whose result departs, on what those before them make alone."""
    last = departure.layer
    names = {each.name for each in program.layers if each is last or (last.group and each.group == last.group)}
    try:
        return DefinedLayers(
            program, [each for each in explained_layers(program) if each.entry.name in names], departure.given
        )
    except UndefinedLayerError:
        return None


class _OfRun:
    """Hands on what is checked of a run."""

    def __init__(
        self, configured: Configurations, defined: DefinedLayers | None, checked: CheckedEffects | None
    ) -> None:
        self._configured, self._checked = configured, checked
        self._layers = () if defined is None else defined.expectations.keys()

    def __call__(self, effect: Effect) -> None:
        if effect.shown is Shown.CONFIGURED:
            self._configured.check(effect)
        elif self._checked is not None and effect.layer in self._layers:
            self._checked(effect)

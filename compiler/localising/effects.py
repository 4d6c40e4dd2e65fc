"""The emulator to blame, by its effects: the first instruction that does something else than its layer is defined as.

What an instruction has to do is worked out from the definition of the layer and what that was given (`defined`), so
that a fault is found that all engines of an emulator share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from backends.api import Emulator, ObservedEmulator
from backends.effects import NO_LAYER, Effect, Shown
from backends.isa import Isa
from backends.program import LayerEntry, Program
from compiler.arrays import Array
from compiler.emulating import emulating
from compiler.explanation.layers import explained_layers
from compiler.localising.blame import Blame, instruction_at, layer_at
from compiler.localising.by_code import by_code
from compiler.localising.checking import CheckedEffects, TooManyTermsError
from compiler.localising.configuration import Configurations
from compiler.localising.defined import DefinedLayers, UndefinedLayerError
from compiler.localising.evidence import Evidence
from compiler.localising.expectation import Expectation
from compiler.localising.steps import Step, made_in
from compiler.localising.wrong import WrongEffectError
from dialects.diagnostics import CatenaError

_OUTSIDE = (Shown.STOP, Shown.CONFIGURED)
"""Effects that are not on words of a layer."""


def blamed_effect(program: Program, emulator: Emulator, evidence: Evidence, isa: Isa) -> tuple[Blame | None, str]:
    """The first instruction whose effect is not what its layer is defined to do; without one, what else is known."""
    if not isinstance(emulator, ObservedEmulator):
        return None, ""
    try:
        for index, step in enumerate(evidence.steps):
            given = step.given_after(made_in(emulator, evidence.steps[:index]))
            defined = _defined(program, step, given)
            if index == len(evidence.steps) - 1 and _is_wrong_by_definition(defined, evidence):
                return None, "what the program says that the layer computes is wrong, so the compiler is to blame"
            found = _first_wrong(program, emulator, step, given, defined, isa)
            if found is not None:
                return blame_for(program, isa, defined.expectations, found), ""
    except UndefinedLayerError as unknown:
        return None, f"instructions were not compared with what the layer is defined to do: {unknown}"
    except TooManyTermsError as many:
        return None, f"instructions were not compared with what the layer is defined to do: {many}"
    except CatenaError as error:
        return None, f"it stops before any instruction, or behind all of them: {error.diagnostics[0].message}"
    return None, "all that instructions show is what the layer is defined to do"


def _defined(program: Program, step: Step, given: dict[str, Array]) -> DefinedLayers:
    names = {each.name for each in _together(program, step.layer)}
    return DefinedLayers(program, [each for each in explained_layers(program) if each.entry.name in names], given)


def _together(program: Program, layer: LayerEntry) -> Iterator[LayerEntry]:
    """The layer, or those of its group."""
    return (each for each in program.layers if each.name == layer.name or (layer.group and each.group == layer.group))


def _is_wrong_by_definition(defined: DefinedLayers, evidence: Evidence) -> bool:
    return bool(evidence.is_wrong(defined.made(evidence.tensor)).any())


def _first_wrong(
    program: Program, emulator: ObservedEmulator, step: Step, given: dict[str, Array], defined: DefinedLayers, isa: Isa
) -> WrongEffectError | None:
    """The first effect that is wrong, in the words that it is about or else in any that were right before."""
    for keeps_all in (False, True):
        code = by_code(program, step.layer, defined, isa)
        checked = CheckedEffects(defined, code, keeps_all=keeps_all)
        try:
            with emulating():
                emulator.observe_layer(step.layer.name, given, checked)
            checked.end()
        except WrongEffectError as found:
            # Cores read the code of all layers, whichever runs.
            reads_all = found.effect.shown is Shown.STOP and len(program.code) > 1
            return (_first_misread(program, emulator, step, given, isa) if reads_all else None) or found
        idle = defined.expectations.keys() - checked.seen
        if idle:
            named = ", ".join(program.layers[number].name for number in sorted(idle))
            raise UndefinedLayerError(f"none of the instructions of {named} shows any effect")
    return None


def _first_misread(
    program: Program, emulator: ObservedEmulator, step: Step, given: dict[str, Array], isa: Isa
) -> WrongEffectError | None:
    """The first instruction of any layer that configures something else than the code says."""
    configurations = Configurations(program, range(len(program.layers)), isa)

    def check(effect: Effect) -> None:
        if effect.shown is Shown.CONFIGURED:
            configurations.check(effect)

    try:
        with emulating():
            emulator.observe_layer(step.layer.name, given, check)
    except WrongEffectError as found:
        return found
    except CatenaError:
        return None
    return None


def blame_for(program: Program, isa: Isa, layers: Mapping[int, Expectation], found: WrongEffectError) -> Blame:
    """The instruction of a wrong effect; `layers` are those that are defined, by number."""
    effect = found.effect
    last = len(program.code[effect.core]) // isa.word_bytes - 1
    if effect.address > last:
        behind = replace(effect, address=last, layer=NO_LAYER)
        found = WrongEffectError(behind, "goes on behind it", "", "the end", "another instruction")
        effect = found.effect
    text = isa.format(instruction_at(program, isa, effect.core, effect.address))
    layer = layers.get(effect.layer)
    turn = "" if layer is None else layer.ranges(effect.cut)
    reason = f"the emulator {found.what}"
    reason += f", first at {found.place}" if found.place else ""
    reason += f", in the turn of {turn}" if turn else ""
    # Where it stops outside of any layer's work, or configures one, the layer is the one whose code it is.
    outside = effect.layer == NO_LAYER or (effect.shown in _OUTSIDE and not effect.cut.groups.size)
    of_code = layer_at(program, effect.core, effect.address) if outside else program.layers[effect.layer]
    name = "" if of_code is None else of_code.name
    return Blame(effect.core, effect.address, text, reason, found.expected, found.found, len(program.code), name)

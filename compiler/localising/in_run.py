"""The emulator to blame in a run of the whole program where every layer alone is right: it goes by what came before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from backends.api import Emulator, ObservedRunEmulator
from backends.effects import Effect, Shown
from backends.isa import Isa
from backends.program import LayerEntry, Program
from compiler.arrays import Array
from compiler.emulating import emulating
from compiler.execution import program_inputs
from compiler.explanation.layers import explained_layers
from compiler.host_execution import HostRuntime
from compiler.localising.as_a_whole import one_by_one
from compiler.localising.blame import Blame, layer_at
from compiler.localising.by_code import by_code
from compiler.localising.checking import CheckedEffects, TooManyTermsError
from compiler.localising.configuration import Configurations
from compiler.localising.defined import DefinedLayers, UndefinedLayerError
from compiler.localising.effects import blame_for
from compiler.localising.expectation import Expectation
from compiler.localising.stream_sequence import StreamSequence
from compiler.localising.stream_turns import pieces_of_cores
from compiler.localising.wrong import WrongEffectError
from dialects.diagnostics import CatenaError


@dataclass(frozen=True, eq=False)
class ObservedRun:
    """A run of a program that shows its effects, which can be had again; `inputs` are those of the model."""

    program: Program
    emulator: ObservedRunEmulator
    inputs: Mapping[str, Array]
    isa: Isa

    def blamed_configuration(self) -> Blame | None:
        """The first instruction that configures something else than the code says, or that a core leaves out."""
        return self._blamed(self._plain())

    def blamed_in(self, layer: LayerEntry, given: Mapping[str, Array]) -> Blame | None:
        """The first instruction whose effect is wrong in a layer or its group, on what it is `given`.

        None if there is none, or if it cannot be said what the layer has to do.
        """
        names = {each.name for each in self.program.layers if each is layer or (layer.group == each.group != "")}
        explained = [each for each in explained_layers(self.program) if each.entry.name in names]
        try:
            defined = DefinedLayers(self.program, explained, given)
        except (UndefinedLayerError, KeyError):
            return None
        checked = CheckedEffects(defined, by_code(self.program, layer, defined, self.isa))
        try:
            return self._blamed(_OfRun(self._configurations(), checked, defined.expectations))
        except TooManyTermsError:
            return None

    def blamed_stop(self, emulator: Emulator) -> Blame | None:
        """The instruction because of which the run stops: in the layer at which it does, else the one that does."""
        observer = self._plain()
        found = self._blamed(observer)
        stop = observer.stop
        if found is not None or stop is None:
            return found
        layer = layer_at(self.program, stop.core, stop.address)
        if layer is not None:
            try:
                found = self.blamed_in(layer, one_by_one(self.program, emulator, self.inputs))
            except (CatenaError, KeyError):
                found = None
        return found or blame_for(self.program, self.isa, {}, WrongEffectError(stop, "stops at it", "", "", ""))

    def _plain(self) -> _OfRun:
        """What looks at all layers, whatever their words are."""
        cores = pieces_of_cores(self.program, range(len(self.program.layers)), self.isa)
        return _OfRun(self._configurations(), None, {}, None if cores is None else StreamSequence(cores))

    def _configurations(self) -> Configurations:
        return Configurations(self.program, range(len(self.program.layers)), self.isa)

    def _blamed(self, observer: _OfRun) -> Blame | None:
        host = HostRuntime(self.program)
        on_device = {entry.name: self.inputs[entry.name] for entry in program_inputs(self.program)}
        try:
            host.start(self.inputs)
            with emulating():
                self.emulator.observe_run(on_device, observer, host=host.call if host else None)
            observer.end()
        except WrongEffectError as found:
            return blame_for(self.program, self.isa, observer.layers, found)
        except CatenaError:
            return None
        return None


class _OfRun:
    """Hands on what is checked of a run: configurations, effects of some layers, by number, and streams of cores."""

    def __init__(
        self,
        configured: Configurations,
        checked: CheckedEffects | None,
        layers: Mapping[int, Expectation],
        streams: StreamSequence | None = None,
    ):
        self._configured, self._checked, self.layers, self._streams = configured, checked, layers, streams
        self.stop: Effect | None = None
        """Where it stopped, if it did."""

    def __call__(self, effect: Effect) -> None:
        if effect.shown is Shown.CONFIGURED:
            self._configured.check(effect)
        elif self._streams is not None:
            self._streams.check(effect)
        if effect.shown is Shown.STOP:
            self.stop = effect
        if self._checked is not None and (effect.layer in self.layers or effect.shown is Shown.CONFIGURED):
            self._checked(effect)

    def end(self) -> None:
        """Raise `WrongEffectError` if more should have come."""
        if self._streams is not None:
            self._streams.end()
        if self._checked is not None:
            self._checked.end()

"""What becomes of the IR pass by pass: its texts, and which ops each pass added, removed and changed."""

from compiler.ir_history.comparing import Change, Kind, changes
from compiler.ir_history.history import IrHistory, StageText, Step
from compiler.ir_history.snapshots import Snapshot

__all__ = ["Change", "IrHistory", "Kind", "Snapshot", "StageText", "Step", "changes"]

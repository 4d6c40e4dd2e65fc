"""Why a layer costs what it costs: what its mapping holds, moves and keeps busy, on machines of either kind."""

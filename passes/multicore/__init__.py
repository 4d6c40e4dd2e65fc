"""What the passes of machines of cores with crossbars share: matrices, their parts, accesses, orders and counts."""

"""What the IR can say and what it means."""

"""What `catena explain` shows: why the layers of a program cost what they cost."""

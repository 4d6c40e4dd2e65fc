"""IR to IR: one pass a file, named as on the command line."""

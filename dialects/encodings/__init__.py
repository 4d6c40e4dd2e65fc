"""How tensors are held otherwise than word by word: formats of sparse ones, cells of crossbars."""

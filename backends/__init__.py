"""The backend API and the accelerators that ship with Catena."""

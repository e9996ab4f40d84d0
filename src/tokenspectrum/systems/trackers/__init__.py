"""Trackers, a module each: `systems.tracker` chooses.  Each keeps its files in the folder that it gets."""

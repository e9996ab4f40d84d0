"""A package whose stages take milliseconds."""

"""The plain way."""

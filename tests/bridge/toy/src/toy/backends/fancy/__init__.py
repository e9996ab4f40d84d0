"""The fancy way."""

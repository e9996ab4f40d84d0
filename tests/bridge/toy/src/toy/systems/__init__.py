"""How stages are run: decides no result."""

"""Params: frozen models of params.yaml, one module a stage, so that a stage imports only what it reads."""

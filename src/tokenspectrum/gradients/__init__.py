"""Gradients of the policy-gradient loss: of all tokens, of subsets of them, and of one token at a time."""

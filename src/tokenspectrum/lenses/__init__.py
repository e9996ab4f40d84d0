"""Three ways to find the few tokens that matter, each by its own paper's definition.  Knows policies and responses."""

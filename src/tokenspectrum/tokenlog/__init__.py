"""Token log: how tables lie on disk.  Atomic writers, a manifest of content, and a reader that trusts neither."""

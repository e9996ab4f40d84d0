"""Token log: how tables are stored on disk, with atomic writers, a manifest, and a reader that checks both."""

"""DVC's files on disk: dvc.yaml, dvc.lock, the cache, the remote, and hashes as DVC computes them.  Runs nothing."""

"""The code of a stage: which files it needs, their list in dvc.yaml, the copy that runs.  Knows no results."""

"""The trainers, one folder each: `train.trainer` chooses."""

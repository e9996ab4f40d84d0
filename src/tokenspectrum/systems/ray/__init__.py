"""A Ray cluster for one job: where its nodes go, how they start and end, and what watches over them."""

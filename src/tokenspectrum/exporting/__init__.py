"""Export: what a preset made, as folders that Hugging Face's libraries read.  Sends nothing.  No stage imports it."""

# Tables of a dataset folder beside those without a run.  Not attention_rows, whose size is another, and not what single
# stages measured: all of them can be asked for.
USUAL = ("runs", "responses", "tokens", "attention", "metrics", "scores", "evaluated")

"""Export: what a preset made, as folders that Hugging Face's libraries read.  Sends nothing.  No stage imports it."""

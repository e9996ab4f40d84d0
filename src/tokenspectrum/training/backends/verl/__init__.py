"""The verl trainer: the same DAPO on Ray, FSDP2 and vLLM, on as many nodes as there are."""

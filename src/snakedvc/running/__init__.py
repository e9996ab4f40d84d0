"""One stage: check its inputs, run it or bring its outputs back, and write down what happened."""

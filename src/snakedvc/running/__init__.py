"""Run one stage: check its inputs, restore its outputs or execute it, and write down what happened."""

"""What training shares with nothing else."""


def step(state, p, rate):
    return state * (1 - float(rate) * p)

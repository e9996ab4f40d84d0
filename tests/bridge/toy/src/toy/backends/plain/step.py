"""One step."""

from toy.dapo import step


def move(state, p, rate):
    return step(state, p, rate)

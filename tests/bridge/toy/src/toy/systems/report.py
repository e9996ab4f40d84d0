"""Progress on the terminal."""


def report(line):
    print(line)

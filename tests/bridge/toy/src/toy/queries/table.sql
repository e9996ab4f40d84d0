SELECT method, seed, score

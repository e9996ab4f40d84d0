"""Tokenspectrum: which response tokens teach a policy in RL with verifiable rewards?"""

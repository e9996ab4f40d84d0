"""One kit for all tests: tiny policies, responses, rules, tables, whole stages and train jobs.

The seeds and shapes here are those that the tests' expected numbers were made with.
It knows no test room: what only one room needs is in that room's own kit, which calls this one.
"""

"""What results of one shape share: methods that were trained, their accuracy against a reference, and their curves.

`declare` makes a declaration of it, `rows` computes its CSV, `figure` draws that.  Knows no single result.
"""

"""The harness measured against known effects, on the user's own machine.

experiment (worker, networks: raw samples) -> findings (a table) -> results (checks, text, files, figure).
"""

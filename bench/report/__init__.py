"""A run -> figures, one page, and a few lines for the terminal. Never torch, never a plug-in.

``answers`` makes typed results, ``tables`` the tables to read, ``figures/`` the figures; templates hold the words, and
``page`` fills them.
"""

"""Data sets: deterministic for a seed, versioned, made from real images that packages ship.

``images`` splits them into training, validation and test. ``clips`` is what a data set of the accuracy section gives,
``datasets`` lists those: ``ring_digits``, ``opening_digits``. Detectors learn from ``cluttered_digits``.
"""

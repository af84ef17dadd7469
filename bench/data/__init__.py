"""Data sets: deterministic for a seed, versioned, made from real images that packages ship.

``images`` has the digits and photographs, split so that training, validation and the test share none. ``clips`` is what
a data set of the accuracy section gives, ``datasets`` lists them: ``ring_digits``, ``opening_digits``. Detectors learn
from ``cluttered_digits``; ``motion_iou`` says how fast an object is.
"""

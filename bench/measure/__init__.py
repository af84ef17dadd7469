"""Measuring: a plan is made (``plan``) and carried out (``runner``).

``latency`` times cases in fresh processes; ``training`` trains what trials ask for, as ``jobs`` that one of the
``executors`` runs; ``evaluation`` shows videos to a checkpoint, and times nothing.
"""

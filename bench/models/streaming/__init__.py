"""A causal network on running video: many streams at once, sources of frames, and what is missed in real time.

================  ======================================================================================
``streams``       streams that begin, pause and end by name, in one network; their running predictions
``sources``       frames from a video file, or generated; a source's frame -> what the network reads
``playback``      frames that arrive at a fixed rate: waiting, frame times, missed deadlines
================  ======================================================================================
"""

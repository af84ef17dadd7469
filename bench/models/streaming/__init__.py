"""A causal network on running video: many streams at once, sources of frames, and what is missed in real time.

================  ======================================================================================
``many``          streams that begin, pause and end by name, in one network; their running predictions
``sources``       frames from a video file, or generated
``preparation``   a source's frame -> what the network reads
``pacing``        frames that arrive at a fixed rate: waiting, frame times, missed deadlines
``screen``        the present frame on the terminal: live, or a line now and then
================  ======================================================================================
"""

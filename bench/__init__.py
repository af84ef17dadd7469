"""ShiftBench: what does a temporal shift cost on this machine, and what does it buy?

Values flow one way and are frozen; nothing flows back::

    Sweep -> Case -> Measurement -> Record -> table -> verdict -> report

What is asked for:

====================  ==================================================================================
``cli``               typer commands: parse, call, print; no logic
``commands``          what each command does and prints
``request``           the options of ``run`` -> validated settings
``axes``              the vocabulary: fraction, placement, direction, backbone, runtime, data set
``settings``          the schema of presets and config files; ``online_settings``, ``detection_settings``: two of its
                      sections; ``schema``: what all are made of
``presets/``          smoke, standard, paper and others: what each measures, as TOML
``sweep``             Case, Arm and the Sweep that lists them: what is measured, as frozen values
``resolution``        settings + what was discovered -> Sweep
``plan``              a sweep resolved on this machine, and how ``run.json`` keeps it
====================  ==================================================================================

Strategies and networks:

====================  ==================================================================================
``strategy``          the contract: all that the author of a strategy reads
``discovery``         ``strategies/*.py`` -> strategies, or the reason why not; ``glance``: read only, never run
``conformance``       what every strategy must satisfy before it is timed
``guard``             what a strategy's code must leave as it found it
``checking``          ``check``: conformance of one strategy, printed property by property
``backbones/``        2-D networks and where each of them takes a strategy, in clips or frame by frame; 3-D networks to
                      compare with
``kernels/``          what strategies share: native code, products over views, moving in place, convolutions split
``runtimes/``         one small file per runtime: a model and an input -> a callable; exactness, inspection, export
====================  ==================================================================================

Measuring:

====================  ==================================================================================
``runner``            the only orchestrator: a plan -> records; conformance, latency, online, trainings, resumption
``workers``           expendable processes: start, watch, time out, say how they died
``outcomes``          what the runner writes down itself, and how many records ended how
``jobs``              arms -> training jobs, and the pre-training that they share
``trainings``         the trainings of a section: what is left of them, and a record of each that ended
``executors``         where training runs: this machine; ``cluster``: a Ray cluster
``progress``          what the user sees meanwhile
``latency/``          campaign (one panel, process after process), worker and timing (what a process does), sampling
                      and schedule (superblocks), clocks and devices (CPU, CUDA), streams (slots frame by frame),
                      stopping (how many processes), traffic, bandwidth and memory (what is moved and held)
``accuracy/``         datasets (moving digits, opening doors), training, evaluation, checkpoints, worker
``detection/``        objects in running video: scenes, training, mean average precision, worker
``images/``           real images that packages ship, split by image: what data sets are made of
``checkpoint``        weights that several trainings share; ``reproducible``: what is the same in every run of one
``streaming/``        causal networks on running video: many streams, sources of frames, missed deadlines
``watching``          ``stream``: one of them on a video file or generated frames, shown live
``bits``              which clips were right, as text in a record
``environment``       the machine and its software
``disturbance``       counters of the system, read at the edges of slots and superblocks
``interference``      the declared rules: when a superblock counts as disturbed, and which are left out
``doctor/``           what will disturb a measurement here, and what to do about it
``validation/``       ``validate``: the harness measured against known effects, on the user's machine
``records``           Record and ``run.json``; ``journal``: the append-only file of records, checksummed, one writer;
                      ``migrations``: records of older versions
====================  ==================================================================================

Explaining; from here on there is no torch and no plug-in:

====================  ==================================================================================
``statistics``        estimators and intervals: pure numpy/scipy
``resampling``        seeds and clips drawn again together
``estimates``         latency records -> overheads and slopes with the independent values behind them
``arms``              training records -> arms with one value per seed; ``detections``: the same of detectors
``evidence``          which of a run's values a claim speaks of; ``online_evidence``: of streams;
                      ``detection_evidence``: of detectors
``claims``            published findings as data (``claims.toml``) -> verdicts
``tables/``           records and estimates -> data frames: latency, online, detection, contests, movement of bytes,
                      quality, accuracy, learning curves, early recognition, controls
``analysis``          a run's folder -> all its tables and verdicts
``comparison``        two runs -> what differs, or why they cannot be compared
``report/``           figures, words, one HTML page
====================  ==================================================================================
"""

__version__ = "0.1.0"

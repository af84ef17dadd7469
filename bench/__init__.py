"""ShiftBench: what does a temporal shift cost on this machine, and what does it buy?

Values flow one way and are frozen; nothing flows back::

    Sweep -> Case -> Measurement -> Record -> table -> verdict -> report

The map:

=====================  =====================================================================
``cli``                typer commands: parse, call, print; no logic
``strategy``           the contract: all that the author of a strategy reads
``discovery``          ``strategies/*.py`` -> strategies, or the reason why not
``conformance``        what every strategy must satisfy; ``check`` and the tests call it
``backbones``          2-D networks and where each of them takes a strategy
``axes``               the vocabulary: fractions, placements, directions and their parsers
``sweep``              Sweep and Case: a validated preset or config -> the list of cases
``presets/``           smoke, standard, paper: the cases each one measures, as TOML
``runner``             the only orchestrator: cases -> records; isolation, progress, resume
``workers``            expendable processes: start, watch, time out, name the culprit
``executors``          where training runs: this machine
``runtimes/``          one small file per runtime: a model and an input -> a callable
``environment``        the machine and its software; what disturbed a measurement
``records``            Record, ``run.json`` and the append-only journal
``latency/``           schedule (superblocks), clocks, worker, traffic (bytes moved)
``accuracy/``          datasets (moving digits), training, worker
``statistics``         estimators and intervals: pure numpy/scipy
``analysis``           a run's folder -> tables
``claims``             published findings as data (``claims.toml``) -> verdicts
``comparison``         two runs -> what differs, or why they cannot be compared
``report/``            figures, words, HTML
=====================  =====================================================================

``torch`` lives only between Case and Measurement, statistics only to the right of Record: a report can be
rebuilt from a run's folder on another machine, without torch and without loading a plug-in.
"""

__version__ = "0.1.0"

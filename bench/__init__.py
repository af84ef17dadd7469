"""ShiftBench: what does a temporal shift cost on this machine, and what does it buy?

Values flow one way and are frozen; nothing flows back::

    Sweep -> Case -> Measurement -> Record -> table -> verdict -> report

Packages, from the user's side down; each imports only from those below it:

``cli``          the commands, one file each
``validation``   ``validate``: the harness held against known effects
``measure``      a plan -> records: runner, executors; ``latency/``; ``training/`` (one harness; its tasks)
``plugins``      strategy files: discovery, conformance, side effects
``models``       networks and where each takes a strategy; ``runtimes/``; frame by frame; playing a stream
``data``         digits, doors, scenes: rendered, deterministic, versioned; videos of one's own: lists, clips, streams
``ops``          what strategies share: native code, Triton kernels, products over views
``strategy``     the contract: all that the author of a strategy reads
``sites``        where in a block it stands, and what is read there

and, from here on without torch and without plug-ins:

``report``       page, figures and answer from typed results; its words are templates
``analysis``     records -> overheads, arms, tables, claims and their verdicts, comparison of two runs
``store``        records, their journal, migrations of older versions
``stats``        estimators, intervals, exclusion rules
``system``       machine, worker processes, counters, doctor, progress
``spec``         axes, settings and presets, cases, their expansion

The way of ``run --fractions 1/8`` to a row of ``latency.csv``:

 1. the command is parsed                                             bench/cli/app.py
 2. its options become a request, which is put into a preset          bench/cli/run.py
 3. and validated                                                     bench/spec/settings.py
 4. strategy files say what they declare                              bench/plugins/discovery.py
 5. settings and strategies expand to panels and cases                bench/spec/expansion.py
 6. strategies are proven, then panel after panel is measured         bench/measure/runner.py
 7. a panel: fresh processes until intervals are narrow enough        bench/measure/latency/campaign.py
 8. a process builds the cases and times superblocks of slots         bench/measure/latency/worker.py
 9. its slots are appended to records.jsonl                           bench/store/journal.py
10. records become overheads with intervals                           bench/analysis/overheads.py
11. and rows of the table                                             bench/analysis/tables/timed.py
"""

__version__ = "1.0.0"

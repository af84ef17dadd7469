"""The harness measured against known effects, on the user's own machine.

====================  ==================================================================================
``stack``             effects built in exactly: N identical layers
``design``            what is measured, and how a budget is divided
``worker``            a fresh process: the stacks in the timed loop of real runs
``foreign``           a busy process beside it, on purpose
``experiment``        fresh processes one after the other -> raw samples
``findings``          raw samples -> bias, coverage, smallest detectable effect
``words``             the checks, and what they mean, in plain English
``figure``, ``files`` the picture; validation.json and validation.csv
====================  ==================================================================================

The parent imports no torch.
"""

from pathlib import Path

from bench.system.progress import Reporter
from bench.validation.design import Design

_DESIGN = Design()


def validate(budget_seconds: float, out: Path, reporter: Reporter, design: Design = _DESIGN) -> list[str]:
    """Measure for ``budget_seconds``, write everything into ``out``, and return what there is to say, line by line.

    After Ctrl-C it reports what is there, if that is one experiment at least.
    Raises ValueNotAllowed where the budget is too small, FolderError where ``out`` cannot be written, WorkerDied where
    the processes die, KeyboardInterrupt where there is too little to report; raw samples are kept in any case.
    """
    from bench.system import environment, workers  # imports here: a worker imports this package, and must start quickly
    from bench.validation import files
    from bench.validation.experiment import Experiment
    from bench.validation.findings import findings
    from bench.validation.words import words

    experiment = Experiment(design, budget_seconds, reporter)
    files.prepare(out)
    machine = environment.describe_machine()
    measured = experiment.run()
    if not measured.enough:
        files.write_raw(out, measured, budget_seconds, machine)
        if measured.interrupted:
            raise KeyboardInterrupt
        raise workers.WorkerDied(f"too few processes lived to say anything: {'; '.join(measured.notes)}")
    validation = findings(measured)
    said = words(validation)
    files.write_raw(out, measured, budget_seconds, machine, validation, said)
    files.write_results(out, validation, said, machine)
    return said

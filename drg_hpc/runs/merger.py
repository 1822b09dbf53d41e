"""Verify and merge a run, or reduce one stage, in a process of its own: ``python -m drg_hpc.runs.merger RUN [STAGE]``.

Jobs call it where the libraries are (in the image, where there is one). It exits as drg-merge does.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from drg_hpc import log as logs
from drg_hpc.errors import EXIT_INPUT, DrgError
from drg_hpc.runs.merge import ensure_reduced, merge_run
from drg_hpc.runs.plan import pin_threads, read_plan
from drg_hpc.runs.signals import stop_on_signals

log = logging.getLogger("drg_hpc.runs.merger")  # run as a script, this module is called __main__


def main() -> int:
    """Returns the exit code."""
    folder, *stage = sys.argv[1:3]
    logs.setup()
    try:
        with stop_on_signals():
            plan = read_plan(Path(folder))
            pin_threads(plan.threads)
            if stage:
                ensure_reduced(plan, plan.stage(stage[0]))
            else:
                merge_run(plan)
    except ModuleNotFoundError as error:
        log.error("%s is not installed here; run in the worker environment or the image", error.name)
        return EXIT_INPUT
    except DrgError as error:
        log.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

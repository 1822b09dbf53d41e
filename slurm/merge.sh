#!/bin/bash
#SBATCH --job-name=drg-merge
#SBATCH --output=drg-merge.%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
# merge.sh RUN: verifies every part of a run and writes its output. Submit it after the array:
#
#   sbatch --dependency=afterany:JOB slurm/merge.sh run
#
# afterany, not afterok: with something missing it exits 4 and lists the shards, instead of waiting for ever.
set -euo pipefail
DRG_ROOT=${DRG_ROOT:-$SLURM_SUBMIT_DIR}
. "$DRG_ROOT/slurm/_common.sh" || { echo "merge.sh: submit it from the checkout's folder, or export DRG_ROOT" >&2; exit 2; }
run_setup
exec drg-merge "${1:?merge.sh RUN}"

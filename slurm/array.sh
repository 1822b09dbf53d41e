#!/bin/bash
#SBATCH --job-name=drg-array
#SBATCH --output=drg-array.%A_%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
# array.sh RUN [STAGE]: one shard of a planned run per array task, and nothing else: the plain way, to read and to copy from.
#
#   drg-attr model store -o run --shards 40 --plan-only
#   job=$(sbatch --parsable --array=0-39%10 slurm/array.sh run)
#   sbatch --dependency=afterany:$job slurm/merge.sh run
#
# from the checkout's folder; from elsewhere export DRG_ROOT=CHECKOUT first.
#
# "drg-submit run" does the same and more: it packs short shards, knows what is queued, submits again with more memory or
# time. A task that is killed, preempted or requeued leaves nothing half done; run the array again and only what is
# missing is worked on. A run of several stages (drg-status lists them) needs one array after the other, with STAGE named.
set -euo pipefail
DRG_ROOT=${DRG_ROOT:-$SLURM_SUBMIT_DIR}
. "$DRG_ROOT/slurm/_common.sh" || { echo "array.sh: submit it from the checkout's folder, or export DRG_ROOT" >&2; exit 2; }
run_setup
exec drg-work "${1:?array.sh RUN [STAGE]}" ${2:+--stage "$2"} \
    --shards "${SLURM_ARRAY_TASK_ID:?submit it as an array: sbatch --array=0-N}"

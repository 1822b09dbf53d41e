#!/bin/bash
#SBATCH --job-name=drg-train
#SBATCH --output=drg-train.%j.log
#SBATCH --open-mode=append
#SBATCH --ntasks-per-node=1
#SBATCH --signal=B:USR1@180
#SBATCH --requeue
# train.sh [--image FILE.sif] [SBATCH OPTIONS --] STORE -o MODEL [DRG-TRAIN FLAGS]
#
# Trains over one or more nodes: one torchrun a node, one rank a GPU (or DRG_RANKS ranks a node where there is none).
#   slurm/train.sh --nodes=2 --gres=gpu:4 --time=12:00:00 -- store --config configs/ctcf.toml -o model
# hands itself to sbatch with the options before the --, and those of configs/site.toml. "sbatch --nodes=2 slurm/train.sh
# STORE -o MODEL" works too, from the checkout's folder.
#
# Before the time limit, and when the job is preempted, a file MODEL/STOP asks all ranks to stop at the same step with a
# checkpoint; the job then goes back into the queue and continues from there, with the bits of an undisturbed run.
# Whether the model is finished is read from MODEL/done.json, since torchrun turns every rank's exit code into 1.
#
# --image FILE.sif  ranks run in it (default: the image of configs/site.toml; "none": outside)
# DRG_RANKS      ranks of a node (default: its GPUs, else 1)
# DRG_INTERFACE  network interface of the compute nodes, for gloo and NCCL (default: as they choose)
# DRG_REQUEUES   how often the job puts itself back into the queue (default: 20)
set -uo pipefail

# In a job of its own Slurm runs a copy of that name; in salloc, or on a login node, it submits itself.
if [ "${0##*/}" != slurm_script ]; then
    . "$(dirname "$(readlink -f "$0")")/_common.sh"
    options=() image=()
    while [ $# -gt 0 ]; do
        case $1 in
            -h | --help) sed -n '/^# train.sh/,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
            --image)
                [ "${2:?--image wants a file}" = none ] && image=(--image none) || image=(--image "$(readlink -f "$2")")
                shift
                ;;
            --) shift; break ;;
            -*) options+=("$1") ;;
            *) # the value of an option where a -- follows, else the first argument
                case " $* " in *" -- "*) options+=("$1") ;; *) break ;; esac
                ;;
        esac
        shift
    done
    [ $# -gt 0 ] || die "a store is needed; --help says more"
    job=$(submit_self "$(readlink -f "$0")" "${options[@]}" -- "${image[@]}" "$@") || exit 3
    echo "job $job; watch with: squeue -j $job; tail -f drg-train.$job.log"
    exit 0
fi

DRG_ROOT=${DRG_ROOT:-$SLURM_SUBMIT_DIR}
. "$DRG_ROOT/slurm/_common.sh" || { echo "train.sh: submit it from the checkout's folder, or set DRG_ROOT" >&2; exit 2; }
run_setup

image= binds=()
if [ "${1:-}" = --image ]; then
    image=$2
    shift 2
    [ "$image" != none ] || image=
else
    mapfile -t binds < <(site image)
    image=${binds[0]:-}
    binds=("${binds[@]:1}")
fi
model=
for ((i = 1; i <= $#; i++)); do
    case ${!i} in
        -o | --out) next=$((i + 1)) && model=${!next} ;;
        --out=*) model=${!i#--out=} ;;
    esac
done
[ -n "$model" ] || die "-o MODEL is needed"
mkdir -p "$model"
rm -f "$model/STOP" # of an earlier life of this job

ranks=${DRG_RANKS:-${SLURM_GPUS_ON_NODE:-1}}
nodes=${SLURM_JOB_NUM_NODES:-1}
# The first node's name, asked here: there is no scontrol in an image. Without it every node would train for itself.
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
[ -n "$head" ] || die "scontrol does not say which nodes this job has"
port=$((20000 + SLURM_JOB_ID % 40000))
life=${SLURM_RESTART_COUNT:-0}
if [ -n "${DRG_INTERFACE:-}" ]; then
    export GLOO_SOCKET_IFNAME=$DRG_INTERFACE NCCL_SOCKET_IFNAME=$DRG_INTERFACE
fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} TORCH_NCCL_ASYNC_ERROR_HANDLING=1

command=(
    torchrun --nnodes="$nodes" --nproc-per-node="$ranks" --max-restarts=0
    --rdzv-id="$SLURM_JOB_ID.$life" --rdzv-backend=c10d --rdzv-endpoint="$head:$port"
    --no-python drg-train "$@"
)
if [ -n "$image" ]; then
    container=$(command -v apptainer || command -v singularity) || die "neither apptainer nor singularity is on PATH"
    gpu=()
    [ -z "${SLURM_GPUS_ON_NODE:-}" ] || gpu=(--nv)
    binds+=("$PWD" "$(readlink -f "$model")")
    for word in "$@"; do # stores and configurations that are named
        [ ! -e "$word" ] || binds+=("$(readlink -f "$word")")
    done
    mapfile -t binds < <(printf -- '--bind\n%s\n' "${binds[@]}")
    command=("$container" exec "${gpu[@]}" "${binds[@]}" --pwd "$PWD" "$image" "${command[@]}")
fi

signal=
stop() {
    signal=$1
    echo "train.sh: $1: asking the ranks to stop with a checkpoint"
    touch "$model/STOP"
}
trap 'stop USR1' USR1
trap 'stop USR2' USR2
trap 'stop TERM' TERM

echo "train.sh: life $((life + 1)) of job $SLURM_JOB_ID: $nodes nodes x $ranks ranks, rendezvous at $head:$port"
srun --ntasks="$nodes" --ntasks-per-node=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=1 \
    "${command[@]}" &
step=$!
wait "$step"
code=$?
while kill -0 "$step" 2>/dev/null; do # a trap ends wait; the ranks are still writing their checkpoint
    wait "$step"
    code=$?
done

if [ -f "$model/done.json" ]; then
    echo "train.sh: finished: $model"
    exit 0
fi
# A preempted job's step gets SIGTERM, this script may get nothing, and Slurm would take its end for a failure.
if [ -z "$signal" ] && scontrol show job -o "$SLURM_JOB_ID" | grep -Eq ' PreemptTime=[0-9]'; then
    signal=preemption
fi
if [ "$signal" = USR1 ] || [ "$signal" = USR2 ] || [ "$signal" = preemption ]; then
    if [ "$life" -lt "${DRG_REQUEUES:-20}" ]; then
        echo "train.sh: stopped by $signal; back into the queue"
        scontrol requeue "$SLURM_JOB_ID"
        exit 143
    fi
    echo "train.sh: stopped in life $((life + 1)); submit it again to go on" >&2
fi
[ -z "$signal" ] || exit 143 # after SIGTERM it is Slurm's to requeue (preemption) or not (scancel)
exit "$code"

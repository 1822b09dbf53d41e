#!/bin/bash
#SBATCH --output=drg-%x.%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
# pipeline.sh [OPTIONS] [SBATCH OPTIONS --] FASTA PEAKS OUT: from a genome and peaks to a report, as a chain of jobs.
#
#   slurm/pipeline.sh --length 100 --time=4:00:00 -- genome.fa.gz peaks.bed runs/ctcf
#
# Each step is one job that starts when the one before ended well (afterok); training is slurm/train.sh, attributions and
# seqlets are arrays over all nodes (drg-submit). Run the same command again after a failure: what is done is skipped.
#
# --length L         bases around the middle of each peak (default 100)
# --valid, --test C  chromosomes to validate and to test on (default chr8, chr9)
# --config TOML      of the training (default configs/ctcf.toml); --epochs N
# --database MEME    motifs to name the found ones by (default examples/motifs/hocomoco_v12_core.meme)
# --shards N         tasks of the arrays, at most (default 40)
# --arrays "…"       flags of drg-submit for the arrays, such as "--partition gpu --gpus 1 --time 30"
# --train "…"        options of sbatch for the training alone, such as "--nodes=2 --gres=gpu:4"
# DRG_RANKS          ranks of a node in training where there is no GPU
set -euo pipefail

step() { # step NAME: what one job does
    read -ra arrays <<<"$ARRAYS"
    genome=$OUT/genome store=$OUT/store model=$OUT/model
    case $1 in
        store)
            drg-shard genome "$FASTA" -o "$genome"
            drg-shard regions --genome "$genome" --regions "$PEAKS" --length "$LENGTH" --negatives dinuc:1 \
                --valid "$VALID" --test "$TEST" -o "$store"
            ;;
        evaluate) drg-evaluate "$model" "$store" --split test -o "$OUT/evaluation" ;;
        attr)
            drg-attr "$model" "$store" --split test --method deepshap --shards "$SHARDS" -o "$OUT/attributions" --plan-only
            drg-submit "$OUT/attributions" --wait "${arrays[@]}"
            drg-ism "$model" "$store" --split test --where 'origin = "given"' --limit 20 -o "$OUT/mutagenesis" --plan-only
            drg-submit "$OUT/mutagenesis" --wait "${arrays[@]}"
            ;;
        seqlets)
            drg-seqlets "$OUT/attributions" --shards "$SHARDS" -o "$OUT/seqlets" --plan-only
            drg-submit "$OUT/seqlets" --wait "${arrays[@]}"
            ;;
        report)
            drg-motifs "$OUT/seqlets" --database "$DATABASE" -o "$OUT/motifs"
            drg-report "$store" "$model" "$OUT/evaluation" "$OUT/attributions" "$OUT/mutagenesis" "$OUT/seqlets" \
                "$OUT/motifs" -o "$OUT/report.html"
            ;;
    esac
}

if [ -n "${SLURM_JOB_ID:-}" ] && [ -n "${DRG_STEP:-}" ]; then # in a job of the chain
    . "$DRG_ROOT/slurm/_common.sh"
    run_setup
    step "$DRG_STEP"
    exit 0
fi

. "$(dirname "$(readlink -f "$0")")/_common.sh"
export LENGTH=100 VALID=chr8 TEST=chr9 SHARDS=40 ARRAYS=
config=$DRG_ROOT/configs/ctcf.toml
export DATABASE=$DRG_ROOT/examples/motifs/hocomoco_v12_core.meme
options=() training=() epochs=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) sed -n '/^# pipeline.sh/,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
        --length) LENGTH=$2; shift ;;
        --valid) VALID=$2; shift ;;
        --test) TEST=$2; shift ;;
        --shards) SHARDS=$2; shift ;;
        --config) config=$(readlink -f "$2"); shift ;;
        --epochs) epochs=(--epochs "$2"); shift ;;
        --database) DATABASE=$(readlink -f "$2"); shift ;;
        --arrays) ARRAYS=$2; shift ;;
        --train) read -ra training <<<"$2"; shift ;;
        --) shift; break ;;
        -*) options+=("$1") ;;
        *) # the value of an option where a -- follows, else the first argument
            case " $* " in *" -- "*) options+=("$1") ;; *) break ;; esac
            ;;
    esac
    shift
done
[ $# = 3 ] || die "FASTA, PEAKS and OUT are needed; --help says more"
[ -f "$1" ] || die "no such file: $1"
[ -f "$2" ] || die "no such file: $2"
FASTA=$(readlink -f "$1") PEAKS=$(readlink -f "$2") OUT=$(readlink -m "$3")
export FASTA PEAKS OUT
mkdir -p "$OUT/logs"
cd "$OUT/logs" # where the jobs start and log

jobs=()
submit() { # submit NAME SCRIPT [ARGUMENT...]: one more job of the chain
    local name=$1 script=$2 after=()
    shift 2
    [ ${#jobs[@]} = 0 ] || after=(--dependency="afterok:${jobs[-1]}" --kill-on-invalid-dep=yes)
    local more=()
    [ "$name" != train ] || more=("${training[@]}")
    jobs+=("$(DRG_STEP=$name submit_self "$script" --job-name="$name" "${options[@]}" "${more[@]}" "${after[@]}" -- "$@")")
    echo "job ${jobs[-1]}: $name"
}
submit store "$DRG_ROOT/slurm/pipeline.sh"
submit train "$DRG_ROOT/slurm/train.sh" "$OUT/store" --config "$config" "${epochs[@]}" -o "$OUT/model"
for name in evaluate attr seqlets report; do
    submit "$name" "$DRG_ROOT/slurm/pipeline.sh"
done
ids=$(IFS=, && echo "${jobs[*]}")
echo "watch:  squeue -j $ids;  tail -F $OUT/logs/*.log;  drg-status $OUT/attributions"
echo "result: $OUT/report.html"

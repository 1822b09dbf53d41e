# Sourced by the scripts beside it: where the commands are, and what configs/site.toml says.
# shellcheck shell=bash

die() {
    echo "${0##*/}: $*" >&2
    exit 2
}

# In a job $0 is a copy in Slurm's spool folder, so the script that submitted itself says where the checkout is.
if [ -z "${DRG_ROOT:-}" ]; then
    DRG_ROOT=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
fi
export DRG_ROOT
[ -z "${DRG_SITE:-}" ] || DRG_SITE=$(readlink -m "$DRG_SITE") && export DRG_SITE # scripts change the folder
export PATH="$DRG_ROOT/.venv/bin:$DRG_ROOT/bin:$PATH"

# site WHAT: what configs/site.toml (or the file that DRG_SITE names) says, a line each. WHAT is
#   options   sbatch options of any job       training  the same and the GPUs of one node
#   setup     the shell lines that every job runs first ("module load …")
#   image     the image that workers run in, then the paths to bind into it
#   scratch   the fast file system of this node
site() {
    python3 -P - "$DRG_ROOT" "$1" <<'PYTHON'
import sys
root, what = sys.argv[1:]
sys.path.insert(0, root)
from drg_hpc.runs.site import node_scratch, read_site
site = read_site().cluster
if what in ("options", "training"):
    for name in ("partition", "account", "qos", "time"):
        if getattr(site, name):
            print(f"--{name}={getattr(site, name)}")
    if what == "training" and site.gpus:
        print(f"--gres={site.gres or 'gpu'}:{site.gpus}")
    for pair in site.slurm_arg:
        print(f"--{pair}")
elif what == "setup":
    print("\n".join(site.setup))
elif what == "scratch":
    print(node_scratch() or "")
elif site.image:
    print("\n".join(map(str, [site.image, *site.bind])))
PYTHON
}

# run_setup: the site's set-up lines, in this shell, one that fails ending it, and its scratch for the caches of
# trainings. Modules and conda read unset variables, which set -u forbids.
run_setup() {
    local lines before
    before=$(set +o)
    lines=$(site setup) || die "configs/site.toml cannot be read (see above)"
    set -e +u
    eval "$lines"
    eval "$before"
    [ -n "${DRG_CACHE_DIR:-}" ] || DRG_CACHE_DIR=$(site scratch) || die "configs/site.toml: scratch (see above)"
    [ -z "$DRG_CACHE_DIR" ] || export DRG_CACHE_DIR
}

# submit_self SCRIPT SBATCH_OPTION... -- ARGUMENT...: hand a script to sbatch; prints the job id.
submit_self() {
    local script=$1 options=() found
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    case $script in */train.sh) found=training ;; *) found=options ;; esac
    found=$(site "$found") || die "configs/site.toml cannot be read (see above)"
    local site=()
    [ -z "$found" ] || mapfile -t site <<<"$found"
    (   # in a job of the user's own, what Slurm says of it would become options of this one
        for name in ${!SLURM_@}; do [ "$name" = SLURM_CONF ] || unset "$name"; done
        sbatch --parsable "${site[@]}" "${options[@]}" "$script" "$@"
    )
}

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
export PATH="$DRG_ROOT/.venv/bin:$DRG_ROOT/bin:$PATH"

# site_options: one sbatch option a line, from [cluster] of configs/site.toml (or of the file that DRG_SITE names).
site_options() {
    python3 -P - "$DRG_ROOT" <<'PYTHON'
import sys
sys.path.insert(0, sys.argv[1])
from drg_hpc.runs.site import read_site
site = read_site().cluster
for name in ("partition", "account", "qos"):
    if getattr(site, name):
        print(f"--{name}={getattr(site, name)}")
for pair in site.slurm_arg:
    print(f"--{pair}")
PYTHON
}

# site_setup: the shell lines that every job runs first ("module load …").
site_setup() {
    python3 -P - "$DRG_ROOT" <<'PYTHON'
import sys
sys.path.insert(0, sys.argv[1])
from drg_hpc.runs.site import read_site
print("\n".join(read_site().cluster.setup))
PYTHON
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
    found=$(site_options) || die "configs/site.toml cannot be read (see above)"
    local site=()
    [ -z "$found" ] || mapfile -t site <<<"$found"
    sbatch --parsable "${site[@]}" "${options[@]}" "$script" "$@"
}

#!/usr/bin/env bash
# apptainer_bed.sh up|env|down: a real Apptainer for the tests, on a machine whose distribution has none.
#
#   up    makes it in $TB_APPTAINER (default: /opt/drg-apptainer); a second `up` changes nothing
#   env   prints the lines a shell needs:  eval "$(tests/cluster/apptainer_bed.sh env)"
#   down  removes what `up` made there
#
# Where apptainer or singularity is on PATH, that one is used and nothing is installed. Otherwise Debian's own package of
# the suite "sid" is unpacked beside the C library it was built for, and its two programs are told to load that one, so
# nothing of the host changes but the helper packages named below. Exit 77 with a reason where this machine forbids it.
set -euo pipefail
prefix=${TB_APPTAINER:-/opt/drg-apptainer}
helpers=(squashfs-tools squashfuse fakeroot uidmap fuse2fs fuse-overlayfs debootstrap patchelf)
programs=(bin/apptainer lib/x86_64-linux-gnu/apptainer/bin/starter)
libraries=(libc.so.6 libm.so.6 libresolv.so.2 libseccomp.so.2 libsqlite3.so.0 ld-linux-x86-64.so.2)

cannot() {
    echo "apptainer_bed: $1" >&2
    exit 77
}

installed() {
    command -v apptainer || command -v singularity || true
}

install_helpers() {
    local missing=() name
    for name in "${helpers[@]}"; do
        dpkg-query -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null | grep -q ^ii || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "== installing ${missing[*]}" >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 \
        "${missing[@]}" >/dev/null || {
        apt-get update -qq -o DPkg::Lock::Timeout=300
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 \
            "${missing[@]}" >/dev/null
    }
}

# The host's first Debian archive, with another suite; the host's own apt settings stay as they are.
write_sources() {
    local deb822=/etc/apt/sources.list.d/debian.sources
    if [ -f $deb822 ]; then
        awk 'BEGIN { RS = ""; ORS = "\n\n" } !/-security/' $deb822 | sed -E 's/^Suites:.*/Suites: sid/' >"$1"
    else
        local mirror
        mirror=$(awk '$1 == "deb" && $2 ~ /^http/ && $2 !~ /security/ { print $2; exit }' /etc/apt/sources.list)
        printf 'Types: deb\nURIs: %s\nSuites: sid\nComponents: main\n' "${mirror:?no Debian archive}" >"$1"
    fi
}

download() {
    local work=$1
    mkdir -p "$work"/{lists/partial,cache/archives/partial,debs,tree}
    write_sources "$work/debian.sources"
    local apt=(-o "Dir::Etc::sourcelist=$work/debian.sources" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
        -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
    apt-get "${apt[@]}" update -qq >&2
    (cd "$work/debs" && apt-get "${apt[@]}" download -qq apptainer libc6 libseccomp2 libsqlite3-0 >&2)
    local deb
    for deb in "$work"/debs/*.deb; do
        dpkg -x "$deb" "$work/tree"
    done
}

assemble() {
    local tree=$1/tree new=$2 name
    local lib=$tree/usr/lib/x86_64-linux-gnu
    mkdir -p "$new"/{bin,libc,etc,lib/x86_64-linux-gnu,lib/etc,var/lib/apptainer/mnt/session}
    mkdir -p "$new/lib/var/lib/apptainer/mnt/session"
    cp -a "$tree/usr/bin/apptainer" "$new/bin/"
    cp -a "$lib/apptainer" "$new/lib/x86_64-linux-gnu/"
    cp -a "$tree/etc/apptainer" "$new/etc/"
    ln -sfn ../../etc/apptainer "$new/lib/etc/apptainer"
    for name in "${libraries[@]}"; do
        cp -L "$lib/$name" "$new/libc/"
    done
}

# DT_RPATH (not RUNPATH) so that the libraries' own needs are found there too. Absolute, so after the move.
relink() {
    local name
    for name in "${programs[@]}"; do
        patchelf --set-interpreter "$prefix/libc/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$prefix/libc" "$prefix/$name"
    done
    for name in libm.so.6 libresolv.so.2 libseccomp.so.2 libsqlite3.so.0; do
        patchelf --force-rpath --set-rpath "$prefix/libc" "$prefix/libc/$name"
    done
}

up() {
    [ -z "$(installed)" ] || { "$(installed)" --version; return; }
    unshare -Ur true 2>/dev/null || cannot "user namespaces are forbidden on this machine"
    if "$prefix/bin/apptainer" --version 2>/dev/null; then
        return
    fi
    [ "$(uname -m)" = x86_64 ] || cannot "no apptainer here, and this bed knows x86_64 only"
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || cannot "no apptainer here, and installing one needs root on Debian"
    install_helpers
    # build --fakeroot maps the users of a package into this range
    grep -q '^root:' /etc/subuid || usermod --add-subuids 200000-265535 --add-subgids 200000-265535 root
    local work
    work=$(mktemp -d)
    download "$work"
    rm -rf "$prefix"
    mkdir -p "$(dirname "$prefix")"
    assemble "$work" "$prefix"
    relink
    rm -rf "$work"
    "$prefix/bin/apptainer" --version
}

# Some machines give root all capabilities but a few; setuid-less apptainer then needs a user namespace of its own.
env_lines() {
    [ -n "$(installed)" ] || echo "export PATH=$(printf %q "$prefix/bin"):\$PATH"
    local have all
    have=$(awk '$1 == "CapEff:" { print $2 }' /proc/self/status)
    all=$(printf '%016x' $(((1 << ($(cat /proc/sys/kernel/cap_last_cap) + 1)) - 1)))
    if [ "$(id -u)" = 0 ] && [ "$have" != "$all" ]; then
        echo "export APPTAINER_USERNS=1"
    fi
}

case ${1:-} in
    up) up ;;
    env) env_lines ;;
    down) [ ! -x "$prefix/bin/apptainer" ] || rm -rf "$prefix" ;;
    *) sed -n '2,10p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
esac

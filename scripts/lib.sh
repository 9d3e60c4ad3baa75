# shellcheck shell=bash
# What the scripts of this folder share: finding the tree, installing what is missing, building out of the tree.
# Sourced, never run. Callers have set -euo pipefail.

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
BUILD_ROOT=${CARDINAL_BUILD:-$ROOT/build}
ME=${ME:-$(basename -- "$0")}
JOBS=${JOBS:-$(nproc 2>/dev/null || echo 2)}
# What outlives a checkout: tools built from their sources, objects compiled before.
CACHE=${CARDINAL_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/cardinal}
# Debian's ccache stands before the compilers there; without it the folder is not.
PATH=/usr/lib/ccache:$PATH
export CCACHE_DIR=$CACHE/ccache CCACHE_BASEDIR=$ROOT CCACHE_NOHASHDIR=1

say() { printf '%s: %s\n' "$ME" "$*" >&2; }
die() {
    say "$*"
    exit 1
}

# shellcheck disable=SC2034  # the lists are for the scripts that source this
# PROBE=PACKAGE, the probe being cmd:NAME (a program), pc:NAME (a library that pkg-config knows), py:NAME (a module of
# python3) or file:GLOB.
BUILD_NEEDS=(
    cmd:gcc=gcc cmd:make=make cmd:ar=binutils cmd:autoconf=autoconf cmd:automake=automake cmd:pkg-config=pkg-config
    pc:libmicrohttpd=libmicrohttpd-dev pc:gnutls=libgnutls28-dev pc:jansson=libjansson-dev
    pc:libcurl=libcurl4-openssl-dev pc:yaml-0.1=libyaml-dev
)
# shellcheck disable=SC2034
CHECK_NEEDS=(cmd:ccache=ccache pc:check=check cmd:python3=python3 py:yaml=python3-yaml)

present() {
    case $1 in
    cmd:*) command -v "${1#cmd:}" >/dev/null 2>&1 ;;
    pc:*) pkg-config --exists "${1#pc:}" 2>/dev/null ;;
    py:*) python3 -c "import ${1#py:}" >/dev/null 2>&1 ;;
    file:*) compgen -G "${1#file:}" >/dev/null ;;
    *) return 1 ;;
    esac
}

# need PROBE=PACKAGE…: installs the packages whose probe fails, and says in one line what is missing when that
# does not help. Does not touch the network when everything is there.
need() {
    local item log
    local -a packages=() still=()
    for item in "$@"; do
        present "${item%%=*}" || packages+=("${item#*=}")
    done
    ((${#packages[@]})) || return 0
    mkdir -p "$BUILD_ROOT"
    log=$BUILD_ROOT/apt.log
    if ! command -v apt-get >/dev/null 2>&1; then
        die "missing: ${packages[*]} (Debian's names; there is no apt-get here to install them)"
    elif [ "$(id -u)" != 0 ]; then
        die "missing: ${packages[*]} (run as root once, or: apt-get install ${packages[*]})"
    fi
    say "installing ${packages[*]}"
    {
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
    } >"$log" 2>&1 || true
    hash -r
    for item in "$@"; do
        present "${item%%=*}" || still+=("${item#*=}")
    done
    ((${#still[@]} == 0)) || die "missing: ${still[*]} can't be installed (see ${log#"$ROOT"/})"
}

# prometheus_tools: prints the folder of promtool and prometheus. Debian's package would start a daemon, so it is unpacked
# into the cache and not installed; what is installed already is taken as it is.
prometheus_tools() {
    local cache dir found
    if found=$(command -v promtool) && command -v prometheus >/dev/null; then
        dirname -- "$found"
        return 0
    fi
    cache=${CARDINAL_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/cardinal}
    dir=$cache/prometheus
    if [ ! -x "$dir/usr/bin/promtool" ] || [ ! -x "$dir/usr/bin/prometheus" ]; then
        if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
            die "missing: promtool and prometheus (there is no apt-get here to take them from)"
        fi
        say "unpacking Debian's prometheus into $dir"
        rm -rf "$dir.new"
        mkdir -p "$dir.new" "$BUILD_ROOT"
        (
            cd "$dir.new" &&
                { apt-get download prometheus || { apt-get update -qq && apt-get download prometheus; }; } &&
                dpkg-deb -x prometheus_*.deb . && rm -f prometheus_*.deb && [ -x usr/bin/promtool ] && [ -x usr/bin/prometheus ]
        ) >"$BUILD_ROOT/prometheus.log" 2>&1 || die "missing: promtool: Debian's prometheus can't be had, see ${BUILD_ROOT#"$ROOT"/}/prometheus.log"
        rm -rf "$dir"
        mv "$dir.new" "$dir"
    fi
    printf '%s\n' "$dir/usr/bin"
}

# The generated configure, once; make keeps it fresh afterwards. One at a time, as parts may run side by side.
generate_configure() {
    mkdir -p "$BUILD_ROOT"
    (
        if command -v flock >/dev/null 2>&1; then flock 9; fi
        cd "$ROOT" || exit 1
        if [ ! -x configure ] || [ configure.ac -nt configure ] || [ ! -f Makefile.in ]; then
            autoreconf -i >"$BUILD_ROOT/autoreconf.log" 2>&1 ||
                die "autoreconf failed: $(grep -m1 -iE 'error' "$BUILD_ROOT/autoreconf.log" || tail -n1 "$BUILD_ROOT/autoreconf.log")"
        fi
    ) 9>"$BUILD_ROOT/configure.lock"
}

# configure_tree NAME [VAR=VALUE | --flag]…: build folder $BUILD_ROOT/NAME, configured again only if the
# arguments changed.
configure_tree() {
    local dir=$BUILD_ROOT/$1 args
    shift
    args="$*"
    generate_configure
    mkdir -p "$dir"
    if [ -f "$dir/config.status" ] && [ "$(cat "$dir/.args" 2>/dev/null)" = "$args" ]; then
        return 0
    fi
    (cd "$dir" && "$ROOT/configure" -q "$@" >configure.log 2>&1) ||
        die "configure failed: $(grep -m1 -E 'error' "$dir/configure.log" || tail -n1 "$dir/configure.log")"
    printf '%s\n' "$args" >"$dir/.args"
}

# make_in NAME TARGET…: quiet; on failure the first complaint goes to stderr and the whole log is named.
make_in() {
    local dir=$BUILD_ROOT/$1
    shift
    if ! nice -n 5 make -C "$dir" -j"$JOBS" -s "$@" >"$dir/make.log" 2>&1; then
        say "make $* failed, see $dir/make.log:"
        grep -m5 -E 'error|Error|undefined reference|warning:' "$dir/make.log" >&2 || tail -n5 "$dir/make.log" >&2
        return 1
    fi
}

# wait_line FILE PATTERN SECONDS PID: until FILE holds a line that matches, or PID is gone.
wait_line() {
    local deadline=$((SECONDS + $3))
    until grep -qE -- "$2" "$1" 2>/dev/null; do
        kill -0 "$4" 2>/dev/null || return 1
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

# end_process PID: TERM, then KILL after ten seconds; waits for it (a child of this shell).
end_process() {
    local i
    kill -TERM "$1" 2>/dev/null || return 0
    for ((i = 0; i < 100; i++)); do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

# shellcheck shell=bash
# scripts/lib/common.sh: what scripts/setup, scripts/run and scripts/test share. Sourced, not run.
#
# Sets: root (the checkout), build_root (where builds go), and HOME and CCACHE_DIR where a service
# account has none. Needs nothing beyond bash and coreutils.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi

# say TEXT: one line of progress. stage TEXT: the same, as a heading with the time since the start.
say() { printf '%s\n' "$*"; }
stage() { printf '%s== %s%s (%d:%02d)\n' "$bold" "$*" "$plain" $((SECONDS / 60)) $((SECONDS % 60)); }

# die TEXT...: says what is wrong and what to do, one line each, and stops.
die() {
  printf 'kvpager: %s\n' "$@" >&2
  exit 1
}

# Builds go to build/ in the checkout, or to $KVPAGER_BUILD_DIR, or, where the checkout belongs to
# somebody else, to a private folder of this user.
choose_build_root() {
  if [ -n "${KVPAGER_BUILD_DIR:-}" ]; then
    mkdir -p "$KVPAGER_BUILD_DIR" || die "cannot create KVPAGER_BUILD_DIR=$KVPAGER_BUILD_DIR"
    build_root=$(cd "$KVPAGER_BUILD_DIR" && pwd)
  elif [ -w "$root" ] && { [ ! -e "$root/build" ] || [ -w "$root/build" ]; }; then
    build_root=$root/build
  else
    build_root=${TMPDIR:-/tmp}/kvpager-build-$(id -u)
    [ -d "$build_root" ] || mkdir -m 0700 "$build_root" || die "cannot create $build_root; set KVPAGER_BUILD_DIR"
    [ -O "$build_root" ] || die "$build_root belongs to somebody else; set KVPAGER_BUILD_DIR"
    say "$root/build is not writable for $(id -un 2>/dev/null || id -u): building in $build_root"
  fi
  # Two checkouts of one state share what is compiled.
  export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$root} CCACHE_NOHASHDIR=1
  if [ -z "${CCACHE_DIR:-}" ] && { [ -z "${HOME:-}" ] || [ ! -w "${HOME:-}" ]; }; then
    export CCACHE_DIR=$build_root/ccache  # ccache insists on a home otherwise.
  fi
}

# configure FOLDER OPTION...: makes or refreshes a build folder; quiet unless it fails.
configure() {
  local folder=$1 log
  shift
  mkdir -p "$folder"
  log=$folder/configure.log
  if ! cmake -S "$root" -B "$folder" -G Ninja "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    die "configuring failed; all of it is in $log" "a missing library: run scripts/setup again"
  fi
}

# build FOLDER TARGET...: ninja, with its own progress line.
build() {
  local folder=$1
  shift
  ninja -C "$folder" -j "$(nproc)" "$@" || die "the build failed; see above, or: ninja -C $folder"
}

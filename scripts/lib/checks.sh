# shellcheck shell=bash
# scripts/lib/checks.sh: the checks of scripts/test that are not tests. Sourced after common.sh.
# shellcheck disable=SC2154  # root comes from common.sh.

# sources PATTERN...: the project's own files of these names, each ended by a zero byte.
sources() {
  local names=() pattern
  for pattern in "$@"; do names+=(-o -name "$pattern"); done
  (cd "$root" && find memmgr tiers ipc engine_plugin kernels tests tools -type f \
    \( "${names[@]:1}" \) -print0 | sort -z)
}

# check_format [--fix]: names the files that clang-format would change, or changes them.
check_format() {
  local how=(--dry-run -Werror)
  [ "${1:-}" != --fix ] || how=(-i)
  # shellcheck disable=SC2016  # The inner shell expands.
  (cd "$root" && sources '*.cc' '*.h' '*.c' '*.hpp' '*.cu' '*.cuh' |
    xargs -0 -r -P "$(nproc)" -n 1 sh -c '
      clang-format-14 $1 "$2" 2>/dev/null || { echo "not formatted: $2"; exit 1; }' - "${how[*]}") || die "scripts/test --fix formats these files"
}

check_shell() {
  local scripts=()
  mapfile -t scripts < <(cd "$root" && {
    find scripts .ci -type f
    find tests tools -type f -name '*.sh'
  } | sort)
  (cd "$root" && shellcheck -x "${scripts[@]}") || die "shellcheck has complaints, see above"
}

# check_clang FOLDER: clang over memmgr, ipc and tiers without making code, with the flags that the
# build in FOLDER uses, and over every header (but those of tests) by itself.
check_clang() {
  local folder=$1 jobs=$1/clang-jobs common
  # A compile_commands.json of the Ninja generator has one "command" a line.
  sed -n 's/^ *"command": "\(.*\)",\{0,1\}$/\1/p' "$folder/compile_commands.json" |
    sed -e 's/\\"/"/g' -e 's/\\\\/\\/g' |
    grep -E " -c $root/(memmgr|ipc|tiers)/[^ ]*\.cc\$" |
    sed -E -e 's/^[^ ]*ccache +//' -e 's/^[^ ]+/clang++-14/' -e 's/ -o [^ ]+ -c / /' \
      -e 's/ -Werror / /' -e 's/$/ -fsyntax-only -Werror=thread-safety/' >"$jobs"
  [ -s "$jobs" ] || die "no source file of memmgr, ipc or tiers in $folder/compile_commands.json"

  common="clang++-14 -std=c++20 -fsyntax-only -Wall -Wextra -I$root -I$folder/generated"
  common+=" -DKVPAGER_VERSION='\"\"'"  # CMake's project version.
  common+=" $(pkg-config --cflags libzmq liburing libisal)"
  local header
  while IFS= read -r -d '' header; do
    printf '%s -include %s -x c++ /dev/null\n' "$common" "$header"
  done < <(sources '*.h' '*.hpp' | grep -zv '^tests/') >>"$jobs"
  printf 'clang-14 -std=c99 -pedantic-errors -fsyntax-only -I%s -include %s -x c /dev/null\n' \
    "$root" engine_plugin/kvpager.h >>"$jobs"

  run_jobs "$jobs" || die "clang has complaints, see above; the commands are in $jobs"
}

# run_jobs FILE: runs each line of FILE with sh, as many at a time as there are cores. Prints what
# they print, one whole job after the other; fails if one fails.
run_jobs() {
  # shellcheck disable=SC2016  # The inner shell expands.
  (cd "$root" && tr '\n' '\0' <"$1" | xargs -0 -r -P "$(nproc)" -n 1 sh -c '
    output=$(sh -c "$0" 2>&1)
    status=$?
    [ -z "$output" ] || printf "%s\n" "$output"
    exit $status')
}

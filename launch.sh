#!/usr/bin/env bash
# Cellar's one command: ./launch.sh --help
#
# Finds Python, makes .cellar/venv with the few packages the launcher needs, and hands over to
# launcher/, which installs the rest when it is needed. All of it is skipped when nothing changed.
set -euo pipefail

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
venv=$root/.cellar/venv
stamp=$venv/.launcher

fail() { printf 'launch.sh: %s\n' "$@" >&2; exit 1; }

# usable PYTHON: 3.11 or newer, and able to make an environment.
usable() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
  local candidate
  if [[ -n ${PYTHON:-} ]]; then
    usable "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11 or newer with venv."
    echo "$PYTHON"
    return
  fi
  for candidate in python3.13 python3.12 python3.11 python3 python; do
    if usable "$candidate"; then command -v "$candidate"; return; fi
  done
  fail "No Python 3.11, 3.12 or 3.13 with its venv module was found." \
    "Debian and Ubuntu: sudo apt install python3 python3-venv. macOS: brew install python@3.13." \
    "An interpreter elsewhere: PYTHON=/path/to/python3.13 ./launch.sh ..."
}

# Many container images set it. Every program would compile all that it imports at each of its starts.
unset PYTHONDONTWRITEBYTECODE

run_launcher() { PYTHONPATH=$root:$root/services exec "$1" -m launcher "${@:2}"; }

# Help needs no package.
if [[ $# == 0 || $1 == help ]]; then run_launcher "$(find_python)" "${@:2}" --help; fi
for argument in "$@"; do
  case $argument in
    -h | --help) run_launcher "$(find_python)" "$@" ;;
    --) break ;;
  esac
done

version_of() { "$1" -c 'import sys; print(sys.version.split()[0])' 2>/dev/null || true; }

# Another interpreter was asked for, or the one that the environment was made with is gone.
have=$(version_of "$venv/bin/python")
if [[ -z $have || (-n ${PYTHON:-} && $have != "$(version_of "$PYTHON")") ]]; then rm -rf "$venv"; fi

wanted=$(cksum <"$root/requirements/launcher.txt")
if [[ ! -f $stamp || $(<"$stamp") != "$wanted" ]]; then
  if [[ ! -d $venv ]]; then
    python=$(find_python)
    echo "Setting up .cellar/venv on $("$python" --version)"
    mkdir -p "$root/.cellar"
    "$python" -m venv "$venv"
  fi
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes \
    --only-binary :all: --requirement "$root/requirements/launcher.txt" ||
    fail "The launcher's packages could not be installed; the reason stands above."
  echo "$wanted" >"$stamp"
fi
run_launcher "$venv/bin/python" "$@"

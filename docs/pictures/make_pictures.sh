#!/bin/sh
# Draws the pictures of README.md and docs/viewer.md from the demo's traces.
#   docs/pictures/make_pictures.sh HCPROF DEMO_FOLDER     (made by: hcprof demo --out DEMO_FOLDER)
set -eu
hcprof=$1
demo=$2
out=$(dirname "$0")
size="--size 1600x1000"
"$hcprof" view "$demo/demo.sqlite" --snapshot "$out/viewer.png" $size --theme dark
"$hcprof" view "$demo/demo.sqlite" --snapshot "$out/what_if.png" $size --theme light --panel what-if --goto 40
"$hcprof" view "$demo/demo.sqlite" --snapshot "$out/replay.png" $size --theme dark --panel replay --search attention
"$hcprof" view "$demo/demo.sqlite" --snapshot "$out/compare.png" $size --theme dark --goto 40 --compare "$demo/simulated.sqlite"

#!/usr/bin/env bash
# Called by ClusterFuzzLite in the image of the Dockerfile beside it.
exec "$SRC/normproof/fuzz/build.sh"

#!/bin/sh
# Start Triton in its container: gRPC for all, what could change the server for nobody.
#
# Triton has no authentication of its own. What penchant's own server guards with a secret (tritonserver.py holds
# the list) is guarded here with a key that nobody is told; it is new at every start.
set -eu
key="$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
# Inside a container the server must listen on its own interface; publish the port on the host's loopback.
# Models are mounted read-only and fixed for the life of the container, so model control stays off.
exec tritonserver \
    --model-repository=/models \
    --model-control-mode=none \
    --disable-auto-complete-config \
    --strict-readiness=true \
    --grpc-address=0.0.0.0 --grpc-port=8001 \
    --grpc-restricted-protocol="shared-memory,model-repository,statistics,trace,logging:penchant=${key}" \
    --allow-http=false \
    --metrics-address=0.0.0.0 --metrics-port=8002 \
    --exit-timeout-secs=20 \
    "$@"

#!/usr/bin/env bash
# Checks a stack that is up, through the kubeconfig of KUBECONFIG: the examples land where they say, as
# few GPU nodes are launched as the slices take, and pods share a GPU in fact. These are the checks of
# rehearsal/scenario (TestExamples, TestSlices), and what only real GPUs can show.
#
#   check-cluster.sh SLICES RECORD
#
# SLICES is the stack's gpuSlices, time-sliced, on g4dn with one GPU. RECORD is a file that the results
# are added to, as rows of a Markdown table. The examples are left in the cluster.
set -euo pipefail
slices=$1 record=$(realpath "$2")
cd "$(dirname "$0")/../.."

failed=0
# check WHAT WANT GOT notes a result.
check() {
  local result=ok
  if [ "$2" != "$3" ]; then
    result="**not ok**" failed=1
  fi
  echo "$1: $3 (want $2)"
  echo "| $1 | $2 | $3 | $result |" >> "$record"
}

# settled WHAT COMMAND... notes whether a wait ended well. What comes after it is looked at all the same.
settled() {
  local what=$1 got=yes
  shift
  "$@" || got=no
  check "$what within the time" yes "$got"
}

# nodes_of SELECTOR are the values of a label of the nodes that such pods run on, each once.
nodes_of() {
  kubectl get pods -l "$1" -o jsonpath='{range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort -u |
    xargs -r -I '{}' kubectl get node '{}' -o jsonpath="{.metadata.labels.$2}{'\n'}" | sort -u | paste -sd ' '
}

pool='karpenter\.sh/nodepool' type='node\.kubernetes\.io/instance-type'

for overlay in $(kubectl get nodeoverlays -o name); do
  check "$overlay is" Ready "$(kubectl get "$overlay" -o jsonpath='{range .status.conditions[?(@.status=="True")]}{.type}{"\n"}{end}' | grep -x Ready || true)"
done

echo "eight replicas, a slice each"
kubectl apply -f examples/gpu-inference.yaml
settled "gpu-inference runs" kubectl rollout status deployment/gpu-inference --timeout 20m
check "GPU nodes launched for 8 pods at $slices slices" $(((8 + slices - 1) / slices)) \
  "$(kubectl get nodeclaims -l karpenter.sh/nodepool=gpu -o name | wc -l)"
check "slices that a GPU node offers" "$slices" \
  "$(kubectl get nodes -l karpenter.sh/nodepool=gpu -o jsonpath='{range .items[*]}{.status.allocatable.nvidia\.com/gpu}{"\n"}{end}' | sort -u | paste -sd ' ')"
# Each replica prints the UUID of its GPU. A slice of another GPU has another.
check "GPUs that the 8 pods see" $(((8 + slices - 1) / slices)) \
  "$( (kubectl logs -l app=gpu-inference --tail -1 --max-log-requests 8 || true) | grep -o 'GPU-[0-9a-f-]*' | sort -u | wc -l)"

echo "a CUDA program on a slice"
kubectl apply -f examples/gpu-pod.yaml
settled "gpu-pod ends" kubectl wait pod/gpu-pod --for jsonpath='{.status.phase}'=Succeeded --timeout 20m
check "the CUDA program says" "Test PASSED" "$( (kubectl logs gpu-pod || true) | grep -o 'Test PASSED' || true)"

echo "CPU pods of both architectures"
kubectl apply -f examples/inflate-amd64.yaml -f examples/inflate-arm64.yaml
kubectl scale deployment inflate-amd64 --replicas 5
kubectl scale deployment inflate-arm64 --replicas 3
settled "inflate-amd64 runs" kubectl rollout status deployment/inflate-amd64 --timeout 15m
settled "inflate-arm64 runs" kubectl rollout status deployment/inflate-arm64 --timeout 15m
check "pool of inflate-amd64" x86 "$(nodes_of app=inflate-amd64 "$pool")"
check "pool of inflate-arm64" arm64 "$(nodes_of app=inflate-arm64 "$pool")"
check "type of inflate-arm64's nodes" c7g.xlarge "$(nodes_of app=inflate-arm64 "$type")"

exit $failed

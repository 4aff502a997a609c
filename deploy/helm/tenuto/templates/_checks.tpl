{{/* What the schema cannot express. Each message names the value, what is wrong with it, and the fix. */}}
{{- define "tenuto.check" -}}
{{- include "tenuto.checkArguments" . -}}
{{- include "tenuto.checkNodes" . -}}
{{- include "tenuto.checkKeys" . -}}
{{- include "tenuto.checkRoutes" . -}}
{{- if lt .Values.autoscaling.maxReplicas .Values.autoscaling.minReplicas -}}
{{- fail (printf "autoscaling.maxReplicas: %v is below minReplicas, which is %v" .Values.autoscaling.maxReplicas .Values.autoscaling.minReplicas) -}}
{{- end -}}
{{- if and .Values.router.enabled (not (and .Values.router.image.repository .Values.router.image.tag)) -}}
{{- fail "router.image: set repository and tag to an image that has vllm-router (README.md shows how to build one)" -}}
{{- end -}}
{{- range .Values.router.extraArgs -}}
{{- if hasPrefix "--api-key" . -}}
{{- fail "router.extraArgs: --api-key would be visible in the pod: clients' keys pass through the router" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tenuto.checkArguments" -}}
{{- $owners := dict "host" "nothing: it is 0.0.0.0" "port" "server.port" "drain-timeout" "shutdown.drainSeconds"
      "shutdown-timeout" "shutdown.drainSeconds" "api-key" "apiKeys" "api-key-file" "apiKeys" "hf-token" "huggingFace"
      "public-metrics" "server.publicMetrics" "log-format" "server.logFormat" "model" "model.name"
      "served-model-name" "model.servedName" "tensor-parallel-size" "parallel.tensor" "tp" "parallel.tensor"
      "pipeline-parallel-size" "parallel.pipeline" "pp" "parallel.pipeline" "max-model-len" "server.maxModelLen"
      "gpu-memory-utilization" "server.gpuMemoryUtilization" "thinking-defaults" "server.thinkingDefaults"
      "nnodes" "multiNode.size" "node-rank" "multiNode" "master-addr" "multiNode" "master-port" "multiNode.masterPort"
      "ssl-certfile" "TLS at the Ingress or Gateway, since probes speak HTTP" "ssl-keyfile" "TLS at the Ingress or Gateway"
      "uds" "server.port" "headless" "multiNode" "distributed-executor-backend" "multiNode.executor" -}}
{{- range .Values.server.extraArgs -}}
{{- $flag := regexFind "^--?[A-Za-z][A-Za-z_-]*" . -}}
{{- $name := trimPrefix "-" (trimPrefix "-" $flag) | replace "_" "-" -}}
{{- if hasKey $owners $name -}}
{{- fail (printf "server.extraArgs: %s is set by the chart: use %s" $flag (get $owners $name)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tenuto.checkNodes" -}}
{{- if .Values.multiNode.enabled -}}
{{- $world := mul (include "tenuto.tensorParallel" .) (include "tenuto.pipelineParallel" .) -}}
{{- $nodes := int .Values.multiNode.size -}}
{{- if mod $world $nodes -}}
{{- fail (printf "parallel: tensor x pipeline is %d, which %d nodes (multiNode.size) cannot share equally" $world $nodes) -}}
{{- end -}}
{{- $gpus := mul .Values.gpu.count $nodes -}}
{{- if and $gpus (ne $world $gpus) -}}
{{- fail (printf "parallel: tensor x pipeline is %d, but %d nodes with gpu.count %v have %d GPUs" $world $nodes .Values.gpu.count $gpus) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tenuto.checkKeys" -}}
{{- $keys := .Values.apiKeys -}}
{{- if and $keys.keys $keys.existingSecret -}}
{{- fail "apiKeys: set keys or existingSecret, not both" -}}
{{- end -}}
{{- if and $keys.scrapeKey (not $keys.keys) -}}
{{- fail "apiKeys.scrapeKey: it belongs to apiKeys.keys, which is empty; for an existing Secret, set scrapeEntry" -}}
{{- end -}}
{{- if and (include "tenuto.hasKeys" .) .Values.monitoring.serviceMonitor.enabled (not .Values.server.publicMetrics) (not (include "tenuto.scrapeEntry" .)) -}}
{{- fail "monitoring.serviceMonitor: /metrics requires an API key: set apiKeys.scrapeKey (or scrapeEntry, for an existing Secret), or server.publicMetrics" -}}
{{- end -}}
{{- if and .Values.huggingFace.token .Values.huggingFace.existingSecret -}}
{{- fail "huggingFace: set token or existingSecret, not both" -}}
{{- end -}}
{{- end -}}

{{- define "tenuto.checkRoutes" -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.hosts: name at least one host" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: name the Gateway that the route belongs to" -}}
{{- end -}}
{{- end -}}

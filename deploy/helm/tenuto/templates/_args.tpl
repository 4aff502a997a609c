{{/* The arguments of `tenuto serve`, as a list. Takes root and role: server, leader or worker. */}}
{{- define "tenuto.args" -}}
{{- $values := .root.Values -}}
{{- with $values.model.name }}
- {{ . | quote }}
{{- end }}
{{- with $values.model.servedName }}
- --served-model-name
- {{ . | quote }}
{{- end }}
- --host
- 0.0.0.0
- --port
- {{ $values.server.port | quote }}
- --drain-timeout
- {{ $values.shutdown.drainSeconds | quote }}
- --log-format
- {{ $values.server.logFormat }}
{{- if gt (int (include "tenuto.tensorParallel" .root)) 1 }}
- --tensor-parallel-size
- {{ include "tenuto.tensorParallel" .root | quote }}
{{- end }}
{{- if gt (int (include "tenuto.pipelineParallel" .root)) 1 }}
- --pipeline-parallel-size
- {{ include "tenuto.pipelineParallel" .root | quote }}
{{- end }}
{{- with $values.server.maxModelLen }}
- --max-model-len
- {{ int64 . | quote }}
{{- end }}
{{- with $values.server.gpuMemoryUtilization }}
- --gpu-memory-utilization
- {{ . | quote }}
{{- end }}
{{- if $values.server.publicMetrics }}
- --public-metrics
{{- end }}
{{- if $values.server.thinkingDefaults }}
- --thinking-defaults
- /etc/tenuto/config/thinking-defaults.toml
{{- end }}
{{- if and (include "tenuto.hasKeys" .root) (ne .role "worker") }}
- --api-key-file
- /etc/tenuto/api-keys/keys
{{- end }}
{{- include "tenuto.nodeArgs" . }}
{{- with $values.server.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tenuto.nodeArgs" -}}
{{- $nodes := .root.Values.multiNode -}}
{{- if ne .role "server" }}
{{- if eq $nodes.executor "ray" }}
- --distributed-executor-backend
- ray
{{- else }}
- --nnodes
- {{ $nodes.size | quote }}
- --node-rank
- $(LWS_WORKER_INDEX)
- --master-addr
- $(LWS_LEADER_ADDRESS)
- --master-port
- {{ $nodes.masterPort | quote }}
{{- if eq .role "worker" }}
- --headless
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What a node of a Ray cluster runs in place of the image's entry point. */}}
{{- define "tenuto.rayCommand" -}}
{{- $port := .root.Values.multiNode.rayPort -}}
{{- if eq .role "leader" }}
command:
  - sh
  - -c
  - >-
    ray start --head --port={{ $port }} --node-ip-address="$VLLM_HOST_IP" --disable-usage-stats
    --include-dashboard=false
    && exec tenuto serve "$@"
  - tenuto
{{- else }}
command:
  - sh
  - -c
  - >-
    exec ray start --address="$LWS_LEADER_ADDRESS:{{ $port }}" --node-ip-address="$VLLM_HOST_IP"
    --disable-usage-stats --block
{{- end }}
{{- end -}}

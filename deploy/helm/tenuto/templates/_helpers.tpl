{{- define "tenuto.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Short enough for the longest suffix and for the index that a LeaderWorkerSet appends. */}}
{{- define "tenuto.fullname" -}}
{{- $name := include "tenuto.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tenuto.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tenuto.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Labels that select pods: they never change. Takes root and component. */}}
{{- define "tenuto.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tenuto.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "tenuto.labels" -}}
{{ include "tenuto.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of the pods that answer HTTP: the leader of each group where a model spans several nodes. */}}
{{- define "tenuto.endpointLabels" -}}
{{ include "tenuto.selectorLabels" (dict "root" . "component" "server") }}
{{- if .Values.multiNode.enabled }}
leaderworkerset.sigs.k8s.io/worker-index: "0"
{{- end }}
{{- end -}}

{{- define "tenuto.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The seconds between the end of a pod and SIGKILL: endpoints propagate, replies finish, the engine ends. */}}
{{- define "tenuto.graceSeconds" -}}
{{- with .Values.shutdown -}}
{{- add .preStopSeconds .drainSeconds .reserveSeconds -}}
{{- end -}}
{{- end -}}

{{/* What the API and the label model_name of the metrics call the model. */}}
{{- define "tenuto.servedName" -}}
{{- default (default "s1-tiny" .Values.model.name) .Values.model.servedName -}}
{{- end -}}

{{- define "tenuto.nodes" -}}
{{- ternary .Values.multiNode.size 1 .Values.multiNode.enabled -}}
{{- end -}}

{{- define "tenuto.tensorParallel" -}}
{{- default (max 1 (int .Values.gpu.count)) .Values.parallel.tensor -}}
{{- end -}}

{{- define "tenuto.pipelineParallel" -}}
{{- default (include "tenuto.nodes" .) .Values.parallel.pipeline -}}
{{- end -}}

{{- define "tenuto.hasKeys" -}}
{{- if or .Values.apiKeys.existingSecret .Values.apiKeys.keys -}}true{{- end -}}
{{- end -}}

{{- define "tenuto.keysSecret" -}}
{{- default (printf "%s-api-keys" (include "tenuto.fullname" .)) .Values.apiKeys.existingSecret -}}
{{- end -}}

{{- define "tenuto.keysEntry" -}}
{{- ternary .Values.apiKeys.fileEntry "keys" (ne .Values.apiKeys.existingSecret "") -}}
{{- end -}}

{{/* The entry of the Secret with the key of Prometheus; empty without one. */}}
{{- define "tenuto.scrapeEntry" -}}
{{- if .Values.apiKeys.existingSecret -}}
{{- .Values.apiKeys.scrapeEntry -}}
{{- else if .Values.apiKeys.scrapeKey -}}
scrape
{{- end -}}
{{- end -}}

{{- define "tenuto.tokenSecret" -}}
{{- if .Values.huggingFace.existingSecret -}}
{{- .Values.huggingFace.existingSecret -}}
{{- else if .Values.huggingFace.token -}}
{{- include "tenuto.fullname" . }}-hugging-face
{{- end -}}
{{- end -}}

{{- define "tenuto.tokenEntry" -}}
{{- ternary .Values.huggingFace.entry "token" (ne .Values.huggingFace.existingSecret "") -}}
{{- end -}}

{{/* Name and port of the Service that clients use. */}}
{{- define "tenuto.entryService" -}}
{{- include "tenuto.fullname" . }}{{ if .Values.router.enabled }}-router{{ end }}
{{- end -}}

{{/* What is reachable from outside: the router's other paths add and remove replicas, without a key. */}}
{{- define "tenuto.entryPath" -}}
{{- ternary "/v1" "/" .Values.router.enabled -}}
{{- end -}}

{{/* What scales: `apiVersion`, `kind` and `name`. */}}
{{- define "tenuto.scaleTarget" -}}
{{- if .Values.multiNode.enabled -}}
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
{{- else -}}
apiVersion: apps/v1
kind: Deployment
{{- end }}
name: {{ include "tenuto.fullname" . }}
{{- end -}}

{{- define "tenuto.scaleBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: {{ .Values.autoscaling.scaleUpSeconds }}
scaleDown:
  stabilizationWindowSeconds: {{ .Values.autoscaling.scaleDownSeconds }}
  policies:
    - type: Pods
      value: 1
      periodSeconds: 60
{{- end -}}

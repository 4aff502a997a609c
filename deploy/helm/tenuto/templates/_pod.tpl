{{/* The template of the server's pods. Takes root and role: server, leader or worker. */}}
{{- define "tenuto.podTemplate" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $isWorker := eq .role "worker" -}}
metadata:
  labels:
    {{- include "tenuto.labels" (dict "root" $root "component" "server") | nindent 4 }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: server
    checksum/config: {{ include (print $root.Template.BasePath "/configmap.yaml") $root | sha256sum }}
    checksum/secrets: {{ include (print $root.Template.BasePath "/secrets.yaml") $root | sha256sum }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- /* A worker outlives its leader, which needs it until the last reply has ended. */}}
  terminationGracePeriodSeconds: {{ ternary (add (include "tenuto.graceSeconds" $root) 30) (include "tenuto.graceSeconds" $root) $isWorker }}
  serviceAccountName: {{ include "tenuto.serviceAccountName" $root }}
  automountServiceAccountToken: false
  {{- /* Variables for a Service named `vllm` would be read as vLLM's settings. */}}
  enableServiceLinks: false
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if or $isWorker $values.initContainers }}
  initContainers:
    {{- if $isWorker }}
    - name: find-leader
      image: {{ include "tenuto.image" $root }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      command: [python3, -c, {{ $root.Files.Get "files/scripts/group.py" | toJson }}]
      args: [find, "600"]
      {{- with $values.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      resources:
        requests:
          cpu: 50m
          memory: 64Mi
    {{- end }}
    {{- with $values.initContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    - name: server
      {{- include "tenuto.serverContainer" . | nindent 6 }}
  volumes:
    - name: weights
      {{- include "tenuto.volume" (dict "root" $root "name" "weights" "store" $values.persistence.weights) | nindent 6 }}
    - name: compile-cache
      {{- include "tenuto.volume" (dict "root" $root "name" "compile-cache" "store" $values.persistence.compileCache) | nindent 6 }}
    - name: shared-memory
      emptyDir:
        medium: Memory
        sizeLimit: {{ $values.persistence.sharedMemory.sizeLimit }}
    - name: temporary
      emptyDir:
        sizeLimit: {{ $values.persistence.temporary.sizeLimit }}
    {{- if $values.server.thinkingDefaults }}
    - name: config
      configMap:
        name: {{ include "tenuto.fullname" $root }}
    {{- end }}
    {{- if and (include "tenuto.hasKeys" $root) (not $isWorker) }}
    - name: api-keys
      {{- include "tenuto.keysVolume" $root | nindent 6 }}
    {{- end }}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml $values.topologySpreadConstraints | nindent 4 }}
  {{- else if eq .role "server" }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "tenuto.endpointLabels" $root | nindent 10 }}
  {{- end }}
{{- end -}}

{{- define "tenuto.serverContainer" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $isWorker := eq .role "worker" -}}
{{- $usesRay := and (ne .role "server") (eq $values.multiNode.executor "ray") -}}
image: {{ include "tenuto.image" $root }}
imagePullPolicy: {{ $values.image.pullPolicy }}
{{- if $usesRay }}
{{- include "tenuto.rayCommand" . }}
{{- end }}
{{- if not (and $usesRay $isWorker) }}
args:
  {{- include "tenuto.args" . | trim | nindent 2 }}
{{- end }}
env:
  {{- include "tenuto.env" . | nindent 2 }}
{{- with $values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if not $isWorker }}
ports:
  - name: http
    containerPort: {{ $values.server.port }}
{{- /* The port listens before the model is loaded: /readyz is 503 until then. */}}
startupProbe:
  httpGet:
    path: /readyz
    port: http
  periodSeconds: {{ $values.probes.startup.periodSeconds }}
  timeoutSeconds: 5
  failureThreshold: {{ ceil (divf $values.probes.startup.forSeconds $values.probes.startup.periodSeconds) }}
livenessProbe:
  httpGet:
    path: /livez
    port: http
  {{- toYaml $values.probes.liveness | nindent 2 }}
readinessProbe:
  httpGet:
    path: /readyz
    port: http
  {{- toYaml $values.probes.readiness | nindent 2 }}
{{- end }}
{{- /* A worker ends after its leader. The server's own waits for it, Ray does not. */}}
{{- if and $usesRay $isWorker }}
lifecycle:
  preStop:
    exec:
      command:
        - python3
        - -c
        - {{ $root.Files.Get "files/scripts/group.py" | toJson }}
        - outlive
        - {{ include "tenuto.graceSeconds" $root | quote }}
        - {{ $values.server.port | quote }}
{{- else if $values.shutdown.preStopSeconds }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ $values.shutdown.preStopSeconds }}
{{- end }}
terminationMessagePolicy: FallbackToLogsOnError
{{- with $values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "tenuto.resources" $root }}
volumeMounts:
  - name: weights
    mountPath: /var/cache/huggingface
    {{- with $values.persistence.weights.subPath }}
    subPath: {{ . }}
    {{- end }}
  - name: compile-cache
    mountPath: /var/cache/tenuto
    {{- with $values.persistence.compileCache.subPath }}
    subPath: {{ . }}
    {{- end }}
  - name: shared-memory
    mountPath: /dev/shm
  - name: temporary
    mountPath: /tmp
  {{- if $values.server.thinkingDefaults }}
  - name: config
    mountPath: /etc/tenuto/config
    readOnly: true
  {{- end }}
  {{- if and (include "tenuto.hasKeys" $root) (not $isWorker) }}
  - name: api-keys
    mountPath: /etc/tenuto/api-keys
    readOnly: true
  {{- end }}
  {{- with $values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "tenuto.env" -}}
{{- $root := .root -}}
- name: HF_HOME
  value: /var/cache/huggingface
- name: VLLM_CACHE_ROOT
  value: /var/cache/tenuto/vllm
{{- if ne .role "server" }}
- name: VLLM_HOST_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- end }}
{{- with include "tenuto.tokenSecret" $root }}
- name: HF_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ include "tenuto.tokenEntry" $root }}
{{- end }}
{{- if and (include "tenuto.scrapeEntry" $root) (ne .role "worker") }}
- name: VLLM_API_KEY
  valueFrom:
    secretKeyRef:
      name: {{ include "tenuto.keysSecret" $root }}
      key: {{ include "tenuto.scrapeEntry" $root }}
{{- end }}
{{- with $root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The values of `resources` with the GPUs of `gpu` as a limit. */}}
{{- define "tenuto.resources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- if .Values.gpu.count -}}
{{- $gpus := dict .Values.gpu.resourceName (toString .Values.gpu.count) -}}
{{- $_ := set $resources "limits" (merge $gpus (default (dict) $resources.limits)) -}}
{{- end -}}
{{- with $resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A volume's source. Takes root, name and store: an entry of `persistence`. */}}
{{- define "tenuto.volume" -}}
{{- if eq .store.type "emptyDir" -}}
emptyDir:
  sizeLimit: {{ .store.size }}
{{- else -}}
persistentVolumeClaim:
  claimName: {{ .store.existingClaim | default (printf "%s-%s" (include "tenuto.fullname" .root) .name) }}
{{- end -}}
{{- end -}}

{{- define "tenuto.keysVolume" -}}
secret:
  secretName: {{ include "tenuto.keysSecret" . }}
  defaultMode: 0440
  items:
    - key: {{ include "tenuto.keysEntry" . }}
      path: keys
{{- end -}}

{{/* Labels of vLLM's pods */}}
{{- define "sense.vllmPodLabels" -}}
{{ include "sense.podLabels" (list . "vllm") }}
sense/model: {{ .Values.model.name | quote }}
sense/model-version: {{ .Values.model.version | quote }}
{{- with .Values.model.digest }}
# a label holds 63 characters, a digest has 64
sense/model-digest: {{ trunc 12 . | quote }}
{{- end }}
{{- end -}}

{{/* Annotations of vLLM's pods */}}
{{- define "sense.vllmPodAnnotations" -}}
sense/model: {{ .Values.model.name | quote }}
sense/model-version: {{ .Values.model.version | quote }}
sense/model-digest: {{ .Values.model.digest | quote }}
{{- with .Values.vllm.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The Deployment that runs vLLM: the chart's, or the one that KServe makes of the InferenceService */}}
{{- define "sense.vllmDeployment" -}}
{{ include "sense.fullname" . }}-{{ ternary "isvc-predictor" "vllm" (eq .Values.output "kserve") }}
{{- end -}}

{{/* The pod's spec of vLLM: the init container that brings or checks the model, vLLM, their volumes */}}
{{- define "sense.vllmPod" -}}
{{- $vllm := .Values.vllm -}}
{{ include "sense.pod" (list . "vllm") }}
{{- include "sense.spread" (list . "vllm") | nindent 0 }}
{{- with $vllm.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
# preStop, requests in flight, and some seconds to let go of the GPU
terminationGracePeriodSeconds: {{ add (int64 $vllm.preStopSeconds) (int64 $vllm.shutdownTimeoutSeconds) 15 }}
initContainers:
  - {{- include "sense.downloadContainer" . | nindent 4 }}
containers:
  - name: vllm
    image: {{ include "sense.image" (list . "vllm") | quote }}
    imagePullPolicy: {{ .Values.images.pullPolicy }}
    securityContext:
      {{- include "sense.restricted" . | nindent 6 }}
    command:
      {{- toYaml $vllm.command | nindent 6 }}
    args:
      {{- include "sense.arguments" . | nindent 6 }}
    env:
      {{- include "sense.vllmEnv" . | nindent 6 }}
    ports:
      - name: http
        containerPort: {{ int64 $vllm.port }}
        protocol: TCP
    startupProbe:
      httpGet: {path: /health, port: http}
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: {{ div (add (int64 $vllm.startupSeconds) 9) 10 }}
    readinessProbe:
      httpGet: {path: /health, port: http}
      periodSeconds: 5
      timeoutSeconds: 5
      failureThreshold: 2
    livenessProbe:
      httpGet: {path: /health, port: http}
      periodSeconds: 10
      timeoutSeconds: 10
      failureThreshold: 6
    lifecycle:
      preStop:
        sleep: {seconds: {{ int64 $vllm.preStopSeconds }}}
    {{- $resources := deepCopy $vllm.resources }}
    {{- if $vllm.gpu.count }}
    {{- range $kind := list "requests" "limits" }}
    {{- $_ := set $resources $kind (set (dig $kind (dict) $resources) $vllm.gpu.resource (int64 $vllm.gpu.count)) }}
    {{- end }}
    {{- end }}
    resources:
      {{- toYaml $resources | nindent 6 }}
    volumeMounts:
      {{- include "sense.modelMounts" . | fromJsonArray | toYaml | nindent 6 }}
      - {name: cache, mountPath: /cache}
      - {name: tmp, mountPath: /tmp}
      - {name: shm, mountPath: /dev/shm}
      {{- with include "sense.moreMounts" (list . $vllm.extraVolumeMounts) }}
      {{- . | nindent 6 }}
      {{- end }}
volumes:
  {{- include "sense.modelVolumes" (list . (ternary (include "sense.modelsClaim" .) "" $vllm.storage.persistence.enabled)) | fromJsonArray | concat (include "sense.credentialVolumes" . | fromJsonArray) | toYaml | nindent 2 }}
  - name: cache
    {{- if $vllm.cachePersistence.enabled }}
    persistentVolumeClaim:
      claimName: {{ include "sense.cacheClaim" . | quote }}
    {{- else }}
    emptyDir:
      sizeLimit: {{ $vllm.cacheSize }}
    {{- end }}
  - name: tmp
    emptyDir:
      sizeLimit: 4Gi
  - name: shm
    emptyDir:
      medium: Memory
      sizeLimit: {{ $vllm.shmSize }}
  {{- with include "sense.moreVolumes" (list . $vllm.extraVolumes) }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The container that downloads and verifies the model, in vLLM's pods and in the Job before an upgrade */}}
{{- define "sense.downloadContainer" -}}
name: fetch
image: {{ include "sense.image" (list . "fetch") | quote }}
imagePullPolicy: {{ .Values.images.pullPolicy }}
securityContext:
  {{- include "sense.restricted" . | nindent 2 }}
# in the pod itself, so that a pod of the old version which starts again runs the old script
command:
  - python
  - -c
  - |
    {{- .Files.Get "files/fetch.py" | nindent 4 }}
args:
  {{- include "sense.downloads" . | nindent 2 }}
env:
  {{- /* with MLflow's own 7 tries a server that is away would be noticed after 4 minutes, not after half a minute */}}
  {{- $env := list
    (dict "name" "HOME" "value" "/tmp")
    (dict "name" "POD_NAME" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.name")))
    (dict "name" "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR" "value" "false")
    (dict "name" "MLFLOW_DISABLE_TELEMETRY" "value" "true")
    (dict "name" "MLFLOW_HTTP_REQUEST_MAX_RETRIES" "value" "4")
  }}
  {{- $env := concat $env (include "sense.sourceEnv" . | fromJsonArray) }}
  {{- include "sense.env" (list . $env (concat .Values.mlflow.env .Values.modelSource.env)) | nindent 2 }}
{{- with include "sense.sourceSecrets" . | fromJsonArray }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml .Values.vllm.download.resources | nindent 2 }}
volumeMounts:
  {{- include "sense.fetchMounts" . | fromJsonArray | toYaml | nindent 2 }}
  {{- with include "sense.moreMounts" (list . .Values.vllm.download.extraVolumeMounts) }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Egress rules of who downloads, as JSON: name servers, MLflow if it is called, and where artifacts lie */}}
{{- define "sense.downloadEgress" -}}
{{- $policy := .Values.networkPolicy -}}
{{- $uri := urlParse .Values.mlflow.trackingUri -}}
{{- $port := regexFind ":[0-9]+$" $uri.host | trimPrefix ":" | default (ternary "443" "80" (eq $uri.scheme "https")) -}}
{{- $mlflow := dict "ports" (list (dict "port" (default $port $policy.mlflowPort | int64) "protocol" "TCP")) -}}
{{- with $policy.mlflow }}{{ $mlflow = set $mlflow "to" . }}{{ end -}}
{{- $called := ternary (list $mlflow) list (eq (include "sense.usesMlflow" .) "yes") -}}
{{- concat (list (include "sense.dnsEgress" . | fromJson)) $called $policy.artifacts | toJson -}}
{{- end -}}

{{/* Egress rule to the name servers, as JSON */}}
{{- define "sense.dnsEgress" -}}
{{- $policy := .Values.networkPolicy -}}
{{- $dns := dict "ports" (list (dict "port" (int64 $policy.dnsPort) "protocol" "UDP") (dict "port" (int64 $policy.dnsPort) "protocol" "TCP")) -}}
{{- with $policy.dns }}{{ $dns = set $dns "to" . }}{{ end -}}
{{- toJson $dns -}}
{{- end -}}

{{/* Annotations of what runs before an install or upgrade, for Helm and for Argo CD: WEIGHT. What failed stays, to be looked at */}}
{{- define "sense.prefetchHook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
argocd.argoproj.io/hook: PreSync
argocd.argoproj.io/sync-wave: {{ . | quote }}
argocd.argoproj.io/hook-delete-policy: BeforeHookCreation,HookSucceeded
{{- end -}}

{{/* The service account of the Job: its own, unless vLLM's is not the chart's */}}
{{- define "sense.prefetchAccount" -}}
{{- if .Values.vllm.serviceAccount.create -}}
{{- include "sense.fullname" . }}-prefetch
{{- else -}}
{{- include "sense.serviceAccountName" (list . "vllm") -}}
{{- end -}}
{{- end -}}

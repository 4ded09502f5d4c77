{{/* Prefix of all names; 45 characters, so that the longest suffix fits into 63 */}}
{{- define "sense.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 45 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change: (list $ "vllm") */}}
{{- define "sense.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* All labels of an object: (list $ "vllm"), or with labels of its own, which win over commonLabels: (list $ "vllm" LABELS) */}}
{{- define "sense.labels" -}}
{{- $root := index . 0 -}}
{{ include "sense.selector" . }}
app.kubernetes.io/part-of: sense
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with merge (dict) (ternary (last .) (dict) (eq (len .) 3)) $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of a pod: those of the component without the chart's version, which would restart pods for nothing: (list $ "vllm") */}}
{{- define "sense.podLabels" -}}
{{- $root := index . 0 -}}
{{ include "sense.selector" . }}
app.kubernetes.io/part-of: sense
{{- with merge (dict) (index $root.Values (index . 1)).podLabels $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* REPOSITORY:TAG[@DIGEST]: (list $ "vllm") */}}
{{- define "sense.image" -}}
{{- $root := index . 0 -}}
{{- $image := index $root.Values.images (index . 1) -}}
{{- $image.repository -}}:{{- default $root.Chart.AppVersion $image.tag -}}
{{- with $image.digest -}}@{{ . }}{{- end -}}
{{- end -}}

{{- define "sense.serviceAccountName" -}}
{{- $root := index . 0 -}}
{{- $account := (index $root.Values (index . 1)).serviceAccount -}}
{{- if $account.create -}}
{{- default (printf "%s-%s" (include "sense.fullname" $root) (index . 1)) $account.name -}}
{{- else -}}
{{- default "default" $account.name -}}
{{- end -}}
{{- end -}}

{{/* What every pod has: (list $ "vllm"), or with another service account: (list $ "vllm" ACCOUNT) */}}
{{- define "sense.pod" -}}
{{- $root := index . 0 -}}
{{- $part := index $root.Values (index . 1) -}}
serviceAccountName: {{ ternary (last .) (include "sense.serviceAccountName" (list $root (index . 1))) (eq (len .) 3) | quote }}
automountServiceAccountToken: false
# a Service's environment variables (VLLM_PORT=tcp://...) would be taken for settings
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  {{- range $key := list "runAsUser" "runAsGroup" "fsGroup" }}
  {{- if hasKey $part.podSecurityContext $key }}
  {{ $key }}: {{ index $part.podSecurityContext $key | int64 }}
  {{- end }}
  {{- end }}
  {{- if hasKey $part.podSecurityContext "fsGroup" }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with $part.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where a part's replicas stand, beyond what every pod has: (list $ "vllm") */}}
{{- define "sense.spread" -}}
{{- $root := index . 0 -}}
{{- $part := index $root.Values (index . 1) -}}
{{- with $part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.topologySpread }}
{{- if .enabled }}
topologySpreadConstraints:
  - maxSkew: {{ int64 .maxSkew }}
    topologyKey: {{ .topologyKey | quote }}
    whenUnsatisfiable: {{ .whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "sense.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
{{- end -}}

{{/* Every container's security context */}}
{{- define "sense.restricted" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The env of a container: the chart's, over it extraEnv, over that the part's own: (list $ CHART PART) */}}
{{- define "sense.env" -}}
{{- $root := index . 0 -}}
{{- $env := concat (index . 1) (include "sense.caEnv" $root | fromJsonArray) -}}
{{- range $over := list $root.Values.extraEnv (index . 2) -}}
{{- $taken := dict -}}
{{- range $over }}{{ $_ := set $taken .name true }}{{ end -}}
{{- $under := list -}}
{{- range $env }}{{ if not (hasKey $taken .name) }}{{ $under = append $under . }}{{ end }}{{ end -}}
{{- $env = concat $under $over -}}
{{- end -}}
{{- toYaml $env -}}
{{- end -}}

{{/* An env entry from a Secret, as JSON: (list VARIABLE SECRET KEY) */}}
{{- define "sense.fromSecret" -}}
{{- dict "name" (index . 0) "valueFrom" (dict "secretKeyRef" (dict "name" (index . 1) "key" (index . 2))) | toJson -}}
{{- end -}}

{{- define "sense.pdb" -}}
{{- $root := index . 0 -}}
{{- $pdb := (index $root.Values (index . 1)).pdb -}}
{{- if $pdb.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "sense.fullname" $root }}-{{ index . 1 }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- include "sense.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ if kindIs "string" $pdb.maxUnavailable }}{{ $pdb.maxUnavailable | quote }}{{ else }}{{ int64 $pdb.maxUnavailable }}{{ end }}
  # a pod that is not ready serves nobody: it may always go
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "sense.selector" . | nindent 6 }}
{{- end }}
{{- end -}}

{{- define "sense.serviceAccount" -}}
{{- $root := index . 0 -}}
{{- $account := (index $root.Values (index . 1)).serviceAccount -}}
{{- if $account.create }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "sense.serviceAccountName" . | quote }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- include "sense.labels" . | nindent 4 }}
  {{- with $account.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
{{- end -}}

{{/* A claim that the chart makes: (list $ COMPONENT NAME VALUES ANNOTATIONS) */}}
{{- define "sense.claim" -}}
{{- $root := index . 0 -}}
{{- $claim := index . 3 -}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ index . 2 }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- include "sense.labels" (list $root (index . 1)) | nindent 4 }}
  {{- with index . 4 }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  accessModes: [{{ $claim.accessMode }}]
  {{- with $claim.storageClass }}
  storageClassName: {{ . | quote }}
  {{- end }}
  resources:
    requests:
      storage: {{ $claim.size }}
{{- end -}}

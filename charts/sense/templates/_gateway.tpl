{{/* The variable that holds a database's URL */}}
{{- define "sense.urlVariable" -}}
SENSE_DATABASE_{{ . | replace "-" "_" | upper }}
{{- end -}}

{{/* What the gateway must know of a version, as JSON: (list NAME VERSION) with VERSION {version, digest, prompt} */}}
{{- define "sense.servedConfig" -}}
{{- $version := index . 1 -}}
{{- $prompt := dict "schema_style" $version.prompt.schemaStyle "sample_values" (int64 $version.prompt.sampleValues) -}}
{{- dict "name" (index . 0) "version" $version.version "digest" $version.digest "prompt" $prompt | toJson -}}
{{- end -}}

{{/* serve.yaml, `sense serve --config`: only what differs from the gateway's own defaults, and what must not depend on them.
The models stand in the order in which the gateway prefers them, which a sorted map would not keep */}}
{{- define "sense.serveConfig" -}}
{{- $model := .Values.model -}}
{{- $gateway := .Values.gateway -}}
{{- $folders := list -}}
{{- range $gateway.databases.claims }}{{ $folders = append $folders (printf "/databases/%s" .name) }}{{ end -}}
{{- $urls := dict -}}
{{- range $gateway.databases.urls }}{{ $_ := set $urls .name (include "sense.urlVariable" .name) }}{{ end -}}
{{- dict
  "host" "0.0.0.0"
  "port" (int64 $gateway.port)
  "databases" (dict "folders" $folders "urls" $urls)
  "generation" $gateway.generation
  "limits" $gateway.limits
  "feedback" (ternary "/var/lib/sense/feedback" nil $gateway.feedback.enabled)
  "data" nil
  "log_level" $gateway.logLevel
  | toYaml }}
backend:
  vllm:
    url: http://{{ include "sense.fullname" . }}-vllm:{{ int64 .Values.vllm.port }}
    structured: {{ $gateway.structured }}
    connections: {{ int64 $gateway.connections }}
    models:
      {{ include "sense.served" $model }}: {{ include "sense.servedConfig" (list $model.name $model) }}
      {{- with $model.previous }}
      {{ include "sense.served" (dict "name" $model.name "version" .version) }}: {{ include "sense.servedConfig" (list $model.name .) }}
      {{- end }}
{{- end -}}

{{- define "sense.gatewayEnv" -}}
{{- $gateway := .Values.gateway -}}
{{- $env := list
  (dict "name" "HOME" "value" "/tmp")
  (include "sense.fromSecret" (list "SENSE_GATEWAY_KEYS" $gateway.keys.existingSecret $gateway.keys.key) | fromJson)
-}}
{{- with .Values.vllm.apiKey }}{{ if .existingSecret }}{{ $env = append $env (include "sense.fromSecret" (list "VLLM_API_KEY" .existingSecret .key) | fromJson) }}{{ end }}{{ end -}}
{{- range $gateway.databases.urls }}{{ $env = append $env (include "sense.fromSecret" (list (include "sense.urlVariable" .name) .secret .key) | fromJson) }}{{ end -}}
{{- include "sense.env" (list $env $gateway.env) -}}
{{- end -}}

{{/* Seconds that a request may take in all: what the gateway's configuration says, or its default */}}
{{- define "sense.requestSeconds" -}}
{{- dig "request_s" 60 .Values.gateway.limits | ceil | int64 -}}
{{- end -}}

{{- define "sense.feedbackClaim" -}}
{{- default (printf "%s-feedback" (include "sense.fullname" .)) .Values.gateway.feedback.existingClaim -}}
{{- end -}}

{{- define "sense.gatewayStrategy" -}}
{{- if .Values.gateway.strategy -}}
{{- toYaml .Values.gateway.strategy -}}
{{- else if and .Values.gateway.feedback.enabled (ne .Values.gateway.feedback.accessMode "ReadWriteMany") -}}
type: Recreate
{{- else -}}
type: RollingUpdate
rollingUpdate:
  maxSurge: 1
  maxUnavailable: 0
{{- end -}}
{{- end -}}

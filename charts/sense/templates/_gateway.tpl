{{/* The variable that holds a database's URL */}}
{{- define "sense.urlVariable" -}}
SENSE_DATABASE_{{ . | replace "-" "_" | upper }}
{{- end -}}

{{/* What the gateway must know of a version, as JSON: (list NAME VERSION) with VERSION {version, digest, prompt} */}}
{{- define "sense.servedConfig" -}}
{{- $version := index . 1 -}}
{{- $written := $version.prompt -}}
{{- $target := default "sql" $written.target -}}
{{- $prompt := dict "schema_style" $written.schemaStyle "sample_values" (int64 $written.sampleValues) "target" $target -}}
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
      {{ include "sense.served" $model | quote }}: {{ include "sense.servedConfig" (list $model.name $model) }}
      {{- with $model.previous }}
      {{ include "sense.served" (dict "name" $model.name "version" .version) | quote }}: {{ include "sense.servedConfig" (list $model.name .) }}
      {{- end }}
{{- include "sense.canaryConfig" . }}
{{- end -}}

{{- define "sense.gatewayEnv" -}}
{{- $gateway := .Values.gateway -}}
{{- $env := list
  (dict "name" "HOME" "value" "/tmp")
  (include "sense.fromSecret" (list "SENSE_GATEWAY_KEYS" $gateway.keys.existingSecret $gateway.keys.key) | fromJson)
-}}
{{- with .Values.vllm.apiKey }}{{ if .existingSecret }}{{ $env = append $env (include "sense.fromSecret" (list "VLLM_API_KEY" .existingSecret .key) | fromJson) }}{{ end }}{{ end -}}
{{- range $gateway.databases.urls }}{{ $env = append $env (include "sense.fromSecret" (list (include "sense.urlVariable" .name) .secret .key) | fromJson) }}{{ end -}}
{{- $env = concat $env (include "sense.canaryEnv" . | fromJsonArray) -}}
{{- include "sense.env" (list . $env $gateway.env) -}}
{{- end -}}

{{/* Seconds that a request may take in all: what the gateway's configuration says, or its default */}}
{{- define "sense.requestSeconds" -}}
{{- dig "request_s" 60 .Values.gateway.limits | ceil | int64 -}}
{{- end -}}

{{/* Mi that the gateway may need: its own, and of each worker SQLite's heap limit (sense/sql/sandbox.py) with Python around it */}}
{{- define "sense.gatewayNeeds" -}}
{{- add 512 (mul (dig "concurrency" 8 .Values.gateway.limits | int64) (dig "execution" "workers" 2 .Values.gateway.limits | int64) 300) -}}
{{- end -}}

{{/* A quantity in Mi, rounded down */}}
{{- define "sense.mebibytes" -}}
{{- divf (include "sense.number" . | float64) 1048576.0 | floor | int64 -}}
{{- end -}}

{{/* A quantity ("1.5Gi", "500m", 4) as a number */}}
{{- define "sense.number" -}}
{{- if kindIs "string" . -}}
{{- $units := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18
  "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 -}}
{{- $unit := regexFind "[a-zA-Z]*$" . -}}
{{- mulf (trimSuffix $unit . | float64) (get $units $unit) -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{- define "sense.feedbackClaim" -}}
{{- default (printf "%s-feedback" (include "sense.fullname" .)) .Values.gateway.feedback.existingClaim -}}
{{- end -}}

{{/* Claim -> its volume in the gateway's pod, as JSON. One volume a claim, however many mounts: with a second one of the same claim,
kubelets up to 1.34 never start the pod */}}
{{- define "sense.gatewayVolumes" -}}
{{- $volumes := dict -}}
{{- if .Values.gateway.feedback.enabled }}{{ $_ := set $volumes (include "sense.feedbackClaim" .) "feedback" }}{{ end -}}
{{- range .Values.gateway.databases.claims -}}
{{- if not (hasKey $volumes .claimName) }}{{ $_ := set $volumes .claimName (printf "database-%s" .name) }}{{ end -}}
{{- end -}}
{{- toJson $volumes -}}
{{- end -}}

{{/* The values by which a claim of the gateway is one node's alone, with its access mode, as JSON: a second pod, also that of a rollout,
might wait on another node for ever */}}
{{- define "sense.oneNode" -}}
{{- $found := dict -}}
{{- with .Values.gateway.feedback -}}
{{- if and .enabled (ne .accessMode "ReadWriteMany") }}{{ $_ := set $found "gateway.feedback.accessMode" .accessMode }}{{ end -}}
{{- end -}}
{{- range .Values.gateway.databases.claims -}}
{{- $mode := default "ReadWriteOnce" .accessMode -}}
{{- if hasPrefix "ReadWriteOnce" $mode }}{{ $_ := set $found (printf "gateway.databases.claims (%s) accessMode" .name) $mode }}{{ end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "sense.gatewayStrategy" -}}
{{- if .Values.gateway.strategy -}}
{{- toYaml .Values.gateway.strategy -}}
{{- else if include "sense.oneNode" . | fromJson -}}
type: Recreate
{{- else -}}
type: RollingUpdate
rollingUpdate:
  maxSurge: 1
  maxUnavailable: 0
{{- end -}}
{{- end -}}

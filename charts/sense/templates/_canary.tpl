{{/* Prefix of the candidate's names; 45 characters as sense.fullname */}}
{{- define "sense.canaryName" -}}
{{- include "sense.fullname" . | trunc 38 | trimSuffix "-" -}}-canary
{{- end -}}

{{/* The values under which the templates of vLLM make the candidate's, as JSON: its version, names and labels of its own */}}
{{- define "sense.canaryValues" -}}
{{- $values := deepCopy .Values -}}
{{- $model := .Values.model -}}
{{- $_ := set $values "model" (merge (dict "name" $model.name "previous" nil "canary" nil) (deepCopy $model.canary)) -}}
{{- $_ := set $values "nameOverride" (printf "%s-canary" (default .Chart.Name .Values.nameOverride | trunc 56)) -}}
{{- $_ := set $values "fullnameOverride" (include "sense.canaryName" .) -}}
{{- $vllm := $values.vllm -}}
{{- $_ := set $vllm "replicas" $vllm.canaryReplicas -}}
{{- $_ := set $vllm.keda "enabled" false -}}
{{- $_ := set $vllm.lora "adapters" list -}}
{{- $_ := set $vllm "serviceAccount" (dict "create" false "name" (include "sense.serviceAccountName" (list . "vllm")) "annotations" (dict)) -}}
{{/* a claim for one node alone is the champion's */}}
{{- $claim := $vllm.storage.persistence -}}
{{- $_ := set $claim "existingClaim" (default (printf "%s-models" (include "sense.fullname" .)) $claim.existingClaim) -}}
{{- $_ := set $claim "enabled" (and $claim.enabled (eq $claim.accessMode "ReadWriteMany")) -}}
{{/* modelSource is the champion's, and KServe runs the champion alone */}}
{{- $_ := set $values "modelSource" (dict "kind" "mlflow" "uri" "" "existingSecret" "" "env" list "keyFile" (dict "existingSecret" "") "claim" (dict "name" "" "path" "") "image" (dict "reference" "" "path" "")) -}}
{{- $_ := set $values "output" "deployment" -}}
{{- toJson $values -}}
{{- end -}}

{{/* The gateway's section about the candidate, and where it follows the registry */}}
{{- define "sense.canaryConfig" -}}
{{- with .Values.model.canary }}
{{- $served := include "sense.served" (dict "name" $.Values.model.name "version" .version) }}
canary:
  model: {{ $.Values.model.name | quote }}
  {{- with $.Values.gateway.canary }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  vllm:
    url: http://{{ include "sense.canaryName" $ }}-vllm:{{ int64 $.Values.vllm.port }}
    structured: {{ $.Values.gateway.structured }}
    connections: {{ int64 $.Values.gateway.connections }}
    models:
      {{ $served | quote }}: {{ include "sense.servedConfig" (list $.Values.model.name .) }}
{{- end }}
{{- end -}}

{{/* More of the gateway's environment, as a JSON list */}}
{{- define "sense.canaryEnv" -}}
{{- $env := list -}}
{{- if .Values.model.canary }}{{ $env = append $env (dict "name" "MLFLOW_TRACKING_URI" "value" .Values.mlflow.trackingUri) }}{{ end -}}
{{- toJson $env -}}
{{- end -}}

{{- define "sense.wrongCanary" -}}
{{- $wrong := list -}}
{{- with .Values.model.canary -}}
{{- if not (regexMatch "^[0-9]+$" .version) }}{{ $wrong = append $wrong (printf "model.canary.version %q is no version number: run `sense models values sense@champion > values.champion.yaml`" .version) }}{{ end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

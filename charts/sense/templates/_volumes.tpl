{{/* Where the certificates of caBundle lie in every container */}}
{{- define "sense.caFile" -}}
/etc/sense-ca/ca.crt
{{- end -}}

{{- define "sense.caIsSet" -}}
{{- if or .Values.caBundle.configMap .Values.caBundle.secret -}}yes{{- end -}}
{{- end -}}

{{/* The variables by which Python, curl, boto3, MLflow and libpq find certificates, as JSON */}}
{{- define "sense.caEnv" -}}
{{- $env := list -}}
{{- if include "sense.caIsSet" . -}}
{{- range list "SSL_CERT_FILE" "REQUESTS_CA_BUNDLE" "CURL_CA_BUNDLE" "AWS_CA_BUNDLE" "MLFLOW_TRACKING_SERVER_CERT_PATH" "PGSSLROOTCERT" -}}
{{- $env = append $env (dict "name" . "value" (include "sense.caFile" $)) -}}
{{- end -}}
{{- end -}}
{{- toJson $env -}}
{{- end -}}

{{/* Volumes that the user adds to a pod, as a YAML list without its first line break: (list $ VOLUMES) */}}
{{- define "sense.moreVolumes" -}}
{{- $bundle := (index . 0).Values.caBundle -}}
{{- $volumes := list -}}
{{- with $bundle.configMap }}{{ $volumes = append $volumes (dict "name" "ca" "configMap" (dict "name" . "items" (list (dict "key" $bundle.key "path" "ca.crt")))) }}{{ end -}}
{{- with $bundle.secret }}{{ $volumes = append $volumes (dict "name" "ca" "secret" (dict "secretName" . "items" (list (dict "key" $bundle.key "path" "ca.crt")))) }}{{ end -}}
{{- with concat $volumes (index . 1) }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/* The mounts that go with them: (list $ MOUNTS) */}}
{{- define "sense.moreMounts" -}}
{{- $mounts := list -}}
{{- if include "sense.caIsSet" (index . 0) }}{{ $mounts = append $mounts (dict "name" "ca" "mountPath" (include "sense.caFile" (index . 0) | dir) "readOnly" true) }}{{ end -}}
{{- with concat $mounts (index . 1) }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/* Those of vllm.extraVolumes that the download mounts, as JSON */}}
{{- define "sense.downloadVolumes" -}}
{{- $names := list -}}
{{- range .Values.vllm.download.extraVolumeMounts }}{{ $names = append $names .name }}{{ end -}}
{{- $volumes := list -}}
{{- range .Values.vllm.extraVolumes }}{{ if has .name $names }}{{ $volumes = append $volumes . }}{{ end }}{{ end -}}
{{- toJson $volumes -}}
{{- end -}}

{{- define "sense.modelsClaim" -}}
{{- default (printf "%s-models" (include "sense.fullname" .)) .Values.vllm.storage.persistence.existingClaim -}}
{{- end -}}

{{- define "sense.cacheClaim" -}}
{{- default (printf "%s-cache" (include "sense.fullname" .)) .Values.vllm.cachePersistence.existingClaim -}}
{{- end -}}

{{/* The volume of models: (list $ CLAIM), CLAIM "" for an emptyDir */}}
{{- define "sense.modelsVolume" -}}
name: models
{{- if index . 1 }}
persistentVolumeClaim:
  claimName: {{ index . 1 | quote }}
{{- else }}
emptyDir:
  sizeLimit: {{ (index . 0).Values.vllm.storage.sizeLimit }}
{{- end }}
{{- end -}}

{{/* Where the files of the version come from (modelSource): what the init container does, and what it and vLLM mount for it */}}

{{/* "yes" if the init container calls MLflow: for the model, or for an adapter */}}
{{- define "sense.usesMlflow" -}}
{{- if or (eq .Values.modelSource.kind "mlflow") .Values.vllm.lora.adapters -}}yes{{- end -}}
{{- end -}}

{{/* "yes" if the model is served from a volume of its own, where it lies already */}}
{{- define "sense.isMounted" -}}
{{- if has .Values.modelSource.kind (list "claim" "image") -}}yes{{- end -}}
{{- end -}}

{{/* "yes" if anything is downloaded to the volume `models` */}}
{{- define "sense.downloadsAnything" -}}
{{- if or (not (include "sense.isMounted" .)) .Values.vllm.lora.adapters -}}yes{{- end -}}
{{- end -}}

{{/* The folder that vLLM loads */}}
{{- define "sense.modelPath" -}}
{{- if include "sense.isMounted" . -}}
{{- $path := (index .Values.modelSource .Values.modelSource.kind).path -}}
/source{{ with $path }}/{{ . }}{{ end }}
{{- else -}}
{{ include "sense.modelFolder" . }}/model
{{- end -}}
{{- end -}}

{{/* What the init container does for the model, as JSON: files/fetch.py says what the keys mean */}}
{{- define "sense.modelArgument" -}}
{{- $source := .Values.modelSource -}}
{{- $digest := ternary .Values.model.digest "" .Values.vllm.download.verify -}}
{{- $folder := include "sense.modelFolder" . -}}
{{- if include "sense.isMounted" . -}}
{{- $name := ternary (printf "claim %s" $source.claim.name) $source.image.reference (eq $source.kind "claim") -}}
{{- dict "path" (include "sense.modelPath" .) "name" $name "needs" "config.json" "digest" $digest | toJson -}}
{{- else if eq $source.kind "uri" -}}
{{- dict "uri" $source.uri "into" $folder "needs" "config.json" "under" "model" "digest" $digest | toJson -}}
{{- else -}}
{{- $uri := printf "models:/%s/%s" .Values.model.name .Values.model.version -}}
{{- dict "uri" $uri "into" $folder "needs" "model/config.json" "digest" $digest | toJson -}}
{{- end -}}
{{- end -}}

{{/* Environment variables of the init container that the source needs, as a list */}}
{{- define "sense.sourceEnv" -}}
{{- $env := list -}}
{{- if include "sense.usesMlflow" . }}{{ $env = append $env (dict "name" "MLFLOW_TRACKING_URI" "value" .Values.mlflow.trackingUri) }}{{ end -}}
{{- if .Values.modelSource.keyFile.existingSecret }}{{ $env = append $env (dict "name" "GOOGLE_APPLICATION_CREDENTIALS" "value" (printf "/credentials/%s" .Values.modelSource.keyFile.key)) }}{{ end -}}
{{- toJson $env -}}
{{- end -}}

{{/* Secrets whose keys are environment variables of the init container, as a list */}}
{{- define "sense.sourceSecrets" -}}
{{- $secrets := list -}}
{{- range compact (list .Values.mlflow.existingSecret .Values.modelSource.existingSecret) }}{{ $secrets = append $secrets (dict "secretRef" (dict "name" .)) }}{{ end -}}
{{- toJson $secrets -}}
{{- end -}}

{{/* Mounts of vLLM for the model, as a list */}}
{{- define "sense.modelMounts" -}}
{{- $mounts := list -}}
{{- if include "sense.downloadsAnything" . }}{{ $mounts = append $mounts (dict "name" "models" "mountPath" "/models" "readOnly" true) }}{{ end -}}
{{- if include "sense.isMounted" . }}{{ $mounts = append $mounts (dict "name" "source" "mountPath" "/source" "readOnly" true) }}{{ end -}}
{{- toJson $mounts -}}
{{- end -}}

{{/* Mounts of the init container, as a list: it alone writes models and reads credentials */}}
{{- define "sense.fetchMounts" -}}
{{- $mounts := list -}}
{{- if include "sense.downloadsAnything" . }}{{ $mounts = append $mounts (dict "name" "models" "mountPath" "/models") }}{{ end -}}
{{- if include "sense.isMounted" . }}{{ $mounts = append $mounts (dict "name" "source" "mountPath" "/source" "readOnly" true) }}{{ end -}}
{{- if .Values.modelSource.keyFile.existingSecret }}{{ $mounts = append $mounts (dict "name" "credentials" "mountPath" "/credentials" "readOnly" true) }}{{ end -}}
{{- toJson (append $mounts (dict "name" "tmp" "mountPath" "/tmp")) -}}
{{- end -}}

{{/* The volumes behind these mounts, as a list: (list $ CLAIM), CLAIM of downloads, "" for an emptyDir */}}
{{- define "sense.modelVolumes" -}}
{{- $root := index . 0 -}}
{{- $source := $root.Values.modelSource -}}
{{- $volumes := list -}}
{{- if include "sense.downloadsAnything" $root }}{{ $volumes = append $volumes (include "sense.modelsVolume" . | fromYaml) }}{{ end -}}
{{- if eq $source.kind "claim" }}{{ $volumes = append $volumes (dict "name" "source" "persistentVolumeClaim" (dict "claimName" $source.claim.name "readOnly" true)) }}{{ end -}}
{{- if eq $source.kind "image" }}{{ $volumes = append $volumes (dict "name" "source" "image" (dict "reference" $source.image.reference "pullPolicy" $root.Values.images.pullPolicy)) }}{{ end -}}
{{- toJson $volumes -}}
{{- end -}}

{{/* The volume of credentials, which the download alone mounts, as a list */}}
{{- define "sense.credentialVolumes" -}}
{{- $volumes := list -}}
{{- with .Values.modelSource.keyFile -}}
{{- if .existingSecret }}{{ $volumes = append $volumes (dict "name" "credentials" "secret" (dict "secretName" .existingSecret "items" (list (dict "key" .key "path" .key)))) }}{{ end -}}
{{- end -}}
{{- toJson $volumes -}}
{{- end -}}

{{/* "yes" if the Job before an upgrade can bring or compare the model: a claim for one node is where vLLM's pod is */}}
{{- define "sense.prefetches" -}}
{{- $source := .Values.modelSource -}}
{{- if and .Values.vllm.prefetch.enabled (not (and (eq $source.kind "claim") (hasPrefix "ReadWriteOnce" $source.claim.accessMode))) -}}yes{{- end -}}
{{- end -}}

{{/* Sources that cannot work */}}
{{- define "sense.wrongSource" -}}
{{- $wrong := list -}}
{{- $source := .Values.modelSource -}}
{{- $kind := $source.kind -}}
{{- $values := dict "uri" $source.uri "claim" $source.claim.name "image" $source.image.reference -}}
{{- $names := dict "uri" "modelSource.uri" "claim" "modelSource.claim.name" "image" "modelSource.image.reference" -}}
{{- range $other, $value := $values -}}
{{- if and $value (ne $other $kind) }}{{ $wrong = append $wrong (printf "%s is set, but modelSource.kind is %s: set kind to %s, or leave it empty" (get $names $other) $kind $other) }}{{ end -}}
{{- if and (not $value) (eq $other $kind) }}{{ $wrong = append $wrong (printf "modelSource.kind is %s, but %s is empty: set it" $kind (get $names $other)) }}{{ end -}}
{{- end -}}
{{- if eq $kind "mlflow" -}}
{{- if not .Values.mlflow.trackingUri }}{{ $wrong = append $wrong "mlflow.trackingUri is missing: set it to the address of the MLflow server, http(s)://..." }}{{ end -}}
{{- else -}}
{{- if and .Values.model.canary (not .Values.mlflow.trackingUri) }}{{ $wrong = append $wrong "mlflow.trackingUri is missing: model.canary comes from MLflow whatever modelSource.kind is; set it, or set model.canary to null" }}{{ end -}}
{{- if and .Values.vllm.lora.adapters (not .Values.mlflow.trackingUri) }}{{ $wrong = append $wrong "mlflow.trackingUri is missing: vllm.lora.adapters come from MLflow whatever modelSource.kind is; set it, or remove the adapters" }}{{ end -}}
{{- if not .Values.model.digest }}{{ $wrong = append $wrong (printf "model.digest is missing: without it nobody can tell whether what modelSource (%s) holds is the version; `sense models values` writes it" $kind) }}{{ end -}}
{{- if not .Values.vllm.download.verify }}{{ $wrong = append $wrong (printf "vllm.download.verify is false, but modelSource.kind is %s: only what comes from MLflow may be served without being compared" $kind) }}{{ end -}}
{{- end -}}
{{- if and (ne $kind "uri") (or $source.existingSecret $source.env $source.keyFile.existingSecret) }}{{ $wrong = append $wrong (printf "modelSource.existingSecret, env and keyFile are for kind uri, but it is %s: leave them empty (for MLflow there are mlflow.existingSecret and mlflow.env)" $kind) }}{{ end -}}
{{- if and $source.keyFile.existingSecret (not (hasPrefix "gs://" $source.uri)) }}{{ $wrong = append $wrong "modelSource.keyFile is for gs:// alone: credentials of S3 are environment variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) in modelSource.existingSecret" }}{{ end -}}
{{- range $path := list $source.claim.path $source.image.path -}}
{{- if regexMatch "(^|/)\\.\\.?(/|$)" $path }}{{ $wrong = append $wrong (printf "modelSource: the path %s leads out of its volume, or holds a dot as a folder: name the model folder from the root of the volume" $path) }}{{ end -}}
{{- end -}}
{{- if and $source.image.reference (not (regexMatch "@sha256:[0-9a-f]{64}$" $source.image.reference)) }}{{ $wrong = append $wrong (printf "modelSource.image.reference %s names no digest (a tag moves under running replicas): write REPOSITORY@sha256:..." $source.image.reference) }}{{ end -}}
{{- if and (include "sense.isMounted" .) .Values.vllm.storage.persistence.enabled (not .Values.vllm.lora.adapters) }}{{ $wrong = append $wrong (printf "vllm.storage.persistence is for downloads, but modelSource.kind is %s and there are no adapters: set persistence.enabled to false" $kind) }}{{ end -}}
{{- if and (eq $kind "claim") (hasPrefix "ReadWriteOnce" $source.claim.accessMode) -}}
{{- $most := int64 (ternary .Values.vllm.keda.maxReplicas .Values.vllm.replicas .Values.vllm.keda.enabled) -}}
{{- if gt $most 1 }}{{ $wrong = append $wrong (printf "modelSource.claim.accessMode is %s with up to %d replicas: say so if the claim is ReadOnlyMany or ReadWriteMany, else take one that is" $source.claim.accessMode $most) }}{{ end -}}
{{- if include "sense.surges" .Values.vllm.strategy }}{{ $wrong = append $wrong (printf "vllm.strategy starts a pod before the old one is gone, but modelSource.claim.accessMode is %s: set maxSurge to 0" $source.claim.accessMode) }}{{ end -}}
{{- end -}}
{{- with .Values.networkPolicy -}}
{{- if and .enabled (eq $kind "uri") (not .artifacts) }}{{ $wrong = append $wrong "networkPolicy.artifacts is empty: the download could not reach modelSource.uri; say where the object store is" }}{{ end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{/* Outputs that cannot work */}}
{{- define "sense.wrongOutput" -}}
{{- $wrong := list -}}
{{- with .Values.inferencePool -}}
{{- if and .enabled (not .endpointPicker.name) }}{{ $wrong = append $wrong "inferencePool.enabled without inferencePool.endpointPicker.name: set the Service of the endpoint picker" }}{{ end -}}
{{- if and .enabled $.Values.networkPolicy.enabled (not $.Values.networkPolicy.vllmClients) }}{{ $wrong = append $wrong "networkPolicy.vllmClients is empty: neither the Gateway nor the endpoint picker of inferencePool could reach vLLM; name their pods" }}{{ end -}}
{{- if and (not .enabled) .parentRefs }}{{ $wrong = append $wrong "inferencePool.parentRefs is set, but inferencePool.enabled is false: set it to true, or leave parentRefs empty" }}{{ end -}}
{{- if and .hostnames (not .parentRefs) }}{{ $wrong = append $wrong "inferencePool.hostnames without inferencePool.parentRefs: without a Gateway there is no route; name it" }}{{ end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{/* Values that the schema lets through and that cannot work, all told at once */}}
{{- define "sense.validate" -}}
{{- $wrong := concat
  (include "sense.wrongCharacters" . | fromJsonArray)
  (include "sense.wrongNames" . | fromJsonArray)
  (include "sense.wrongModel" . | fromJsonArray)
  (include "sense.wrongVllm" . | fromJsonArray)
  (include "sense.wrongGateway" . | fromJsonArray)
  (include "sense.wrongNetwork" . | fromJsonArray)
-}}
{{- if $wrong }}{{ fail (printf "\n\nthese values cannot work:\n- %s\n" (join "\n- " $wrong)) }}{{ end -}}
{{- end -}}

{{/* Helm's toYaml writes nothing at all for a list that holds U+007F, and a blank for U+0085 */}}
{{- define "sense.wrongCharacters" -}}
{{- $wrong := list -}}
{{- with regexFind "\\S*[\\x{7f}-\\x{9f}]" (toJson .Values) }}{{ $wrong = append $wrong (printf "control characters (U+007F to U+009F) cannot stand in a manifest: remove the one in %q" .) }}{{ end -}}
{{- toJson $wrong -}}
{{- end -}}

{{- define "sense.wrongNames" -}}
{{- $wrong := list -}}
{{- $service := printf "%s-vllm" (include "sense.fullname" .) -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $service) }}{{ $wrong = append $wrong (printf "release %q would make a Service %q, but a Service's name begins with a letter and has only a-z, 0-9 and -: set fullnameOverride, for example to sense" .Release.Name $service) }}{{ end -}}
{{- $account := include "sense.serviceAccountName" (list . "vllm") -}}
{{- if and .Values.vllm.serviceAccount.create .Values.gateway.serviceAccount.create (eq $account (include "sense.serviceAccountName" (list . "gateway"))) }}{{ $wrong = append $wrong (printf "vllm.serviceAccount and gateway.serviceAccount would both create %s: give each a name of its own, or set create to false in one" $account) }}{{ end -}}
{{- toJson $wrong -}}
{{- end -}}

{{- define "sense.wrongModel" -}}
{{- $wrong := list -}}
{{- $write := "run `sense models values sense@champion > values.champion.yaml` and add -f values.champion.yaml" -}}
{{- with .Values.model -}}
{{- if not .version }}{{ $wrong = append $wrong (printf "model.version is missing: %s" $write) }}
{{- else if not (regexMatch "^[0-9]+$" .version) }}{{ $wrong = append $wrong (printf "model.version %q is no version number (an alias moves under running replicas): %s" .version $write) }}{{ end -}}
{{- if .previous -}}
{{- if not (regexMatch "^[0-9]+$" .previous.version) }}{{ $wrong = append $wrong (printf "model.previous.version %q is no version number: %s" .previous.version $write) }}{{ end -}}
{{- if eq .previous.version .version }}{{ $wrong = append $wrong (printf "model.previous.version is model.version, %q: set model.previous to null" .version) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if not .Values.mlflow.trackingUri }}{{ $wrong = append $wrong "mlflow.trackingUri is missing: set it to the address of the MLflow server, http(s)://..." }}{{ end -}}
{{- toJson $wrong -}}
{{- end -}}

{{- define "sense.wrongVllm" -}}
{{- $wrong := list -}}
{{- $vllm := .Values.vllm -}}
{{- $gpus := int64 $vllm.gpu.count -}}
{{- $parallel := int64 $vllm.tensorParallelSize -}}
{{- if and (gt $gpus 0) (ne $gpus $parallel) }}{{ $wrong = append $wrong (printf "vllm.tensorParallelSize is %d and vllm.gpu.count %d: a model shares all GPUs of its pod, make them equal" $parallel $gpus) }}{{ end -}}
{{- if and (eq $gpus 0) (ne $parallel 1) }}{{ $wrong = append $wrong (printf "vllm.tensorParallelSize is %d and vllm.gpu.count 0: on CPU it must be 1" $parallel) }}{{ end -}}
{{- range $kind, $named := $vllm.resources }}{{ if hasKey $named $vllm.gpu.resource }}{{ $wrong = append $wrong (printf "vllm.resources.%s names %s: set vllm.gpu.count instead" $kind $vllm.gpu.resource) }}{{ end }}{{ end -}}
{{- $wrong = concat $wrong (include "sense.wrongResources" (list "vllm.resources" $vllm.resources) | fromJsonArray) -}}
{{- $wrong = concat $wrong (include "sense.wrongResources" (list "vllm.download.resources" $vllm.download.resources) | fromJsonArray) -}}
{{- $own := dict "model" "model" "served-model-name" "model" "port" "vllm.port" "api-key" "vllm.apiKey.existingSecret" -}}
{{- range list "tensor-parallel-size" "tp" "pipeline-parallel-size" "pp" "data-parallel-size" "dp" }}{{ $_ := set $own . "vllm.tensorParallelSize" }}{{ end -}}
{{- range $vllm.extraArgs -}}
{{- $word := regexFind "^--?[a-z_-]+" . -}}
{{- with get $own (trimAll "-" $word | replace "_" "-") }}{{ $wrong = append $wrong (printf "vllm.extraArgs has %s, on which other objects depend: set %s instead" $word .) }}{{ end -}}
{{- end -}}
{{- $model := dig "model_s" 30 .Values.gateway.limits | ceil | int64 -}}
{{- if lt (int64 $vllm.shutdownTimeoutSeconds) $model }}{{ $wrong = append $wrong (printf "vllm.shutdownTimeoutSeconds is %d, less than gateway.limits.model_s (%d): a rollout would cut answers off" (int64 $vllm.shutdownTimeoutSeconds) $model) }}{{ end -}}
{{- $most := int64 (ternary $vllm.keda.maxReplicas $vllm.replicas $vllm.keda.enabled) -}}
{{- with $vllm.storage.persistence -}}
{{- if and .enabled (gt $most 1) (ne .accessMode "ReadWriteMany") }}{{ $wrong = append $wrong (printf "vllm.storage.persistence.accessMode is %s with up to %d replicas: they need ReadWriteMany (a claim keeps its mode: name a new one in existingClaim), or persistence.enabled: false" .accessMode $most) }}{{ end -}}
{{- if and .enabled (ne .accessMode "ReadWriteMany") (include "sense.surges" $vllm.strategy) }}{{ $wrong = append $wrong (printf "vllm.strategy starts a pod before the old one is gone, but vllm.storage.persistence.accessMode is %s: set maxSurge to 0" .accessMode) }}{{ end -}}
{{- end -}}
{{- with $vllm.keda -}}
{{- if and .enabled (not .prometheusAddress) }}{{ $wrong = append $wrong "vllm.keda.enabled without vllm.keda.prometheusAddress: set it to Prometheus' address, http(s)://..." }}{{ end -}}
{{- if and .enabled (gt (int64 .minReplicas) (int64 .maxReplicas)) }}{{ $wrong = append $wrong (printf "vllm.keda.minReplicas (%d) is more than maxReplicas (%d)" (int64 .minReplicas) (int64 .maxReplicas)) }}{{ end -}}
{{- end -}}
{{- $wrong = concat $wrong (include "sense.wrongStrategy" (list "vllm.strategy" $vllm.strategy) | fromJsonArray) -}}
{{- $names := list (include "sense.served" .Values.model) -}}
{{- with .Values.model.previous }}{{ $names = append $names (include "sense.served" (dict "name" $.Values.model.name "version" .version)) }}{{ end -}}
{{- range $vllm.lora.adapters -}}
{{- $name := include "sense.adapterName" . -}}
{{- if has $name $names }}{{ $wrong = append $wrong (printf "vllm.lora.adapters: %s is the name of a version of the model, or of two adapters; give each a name of its own" $name) }}{{ end -}}
{{- $names = append $names $name -}}
{{- if and .uri (hasPrefix "models:/" .uri) (not (regexMatch "^models:/([^/@]+/[0-9]+|m-[0-9a-f]+)$" .uri)) }}{{ $wrong = append $wrong (printf "vllm.lora.adapters: %s names no version (an alias moves under running replicas): models:/NAME/VERSION" .uri) }}{{ end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{- define "sense.wrongGateway" -}}
{{- $wrong := list -}}
{{- $gateway := .Values.gateway -}}
{{- if not $gateway.keys.existingSecret }}{{ $wrong = append $wrong "gateway.keys.existingSecret is missing: kubectl create secret generic sense-keys --from-literal=SENSE_GATEWAY_KEYS=KEY, and set it to sense-keys" }}{{ end -}}
{{- if not (concat $gateway.databases.claims $gateway.databases.urls) }}{{ $wrong = append $wrong "gateway.databases is empty: name a claim with SQLite files under claims, or a database's URL under urls" }}{{ end -}}
{{- $seen := dict -}}
{{- range concat $gateway.databases.claims $gateway.databases.urls -}}
{{- $variable := include "sense.urlVariable" .name -}}
{{- if hasKey $seen $variable }}{{ $wrong = append $wrong (printf "gateway.databases: %s and %s are too alike; rename one" (get $seen $variable) .name) }}{{ end -}}
{{- $_ := set $seen $variable .name -}}
{{- end -}}
{{- $most := int64 (ternary $gateway.hpa.maxReplicas $gateway.replicas $gateway.hpa.enabled) -}}
{{- range $value, $mode := include "sense.oneNode" . | fromJson -}}
{{- $cure := ternary "they need ReadWriteMany (a claim keeps its mode: name a new one in existingClaim), or feedback.enabled: false" "say so if the claim is ReadWriteMany or ReadOnlyMany, else take one that is" (hasPrefix "gateway.feedback" $value) -}}
{{- if gt $most 1 }}{{ $wrong = append $wrong (printf "%s is %s with up to %d replicas: %s" $value $mode $most $cure) }}{{ end -}}
{{- if and $gateway.strategy (include "sense.surges" $gateway.strategy) }}{{ $wrong = append $wrong (printf "gateway.strategy starts a pod before the old one is gone, but %s is %s: set type Recreate" $value $mode) }}{{ end -}}
{{- end -}}
{{- with dig "limits" "memory" "" $gateway.resources -}}
{{- $has := include "sense.mebibytes" . | int64 -}}
{{- $needs := include "sense.gatewayNeeds" $ | int64 -}}
{{- if lt $has $needs }}{{ $wrong = append $wrong (printf "gateway.resources.limits.memory is %dMi, but %dMi may be used (512Mi + gateway.limits.concurrency x gateway.limits.execution.workers x 300Mi): raise it to %dMi, or lower concurrency or workers" $has $needs $needs) }}{{ end -}}
{{- end -}}
{{- $wrong = concat $wrong (include "sense.wrongResources" (list "gateway.resources" $gateway.resources) | fromJsonArray) -}}
{{- with $gateway.hpa -}}
{{- if and .enabled (gt (int64 .minReplicas) (int64 .maxReplicas)) }}{{ $wrong = append $wrong (printf "gateway.hpa.minReplicas (%d) is more than maxReplicas (%d)" (int64 .minReplicas) (int64 .maxReplicas)) }}{{ end -}}
{{- if and .enabled (not (dig "requests" "cpu" "" $gateway.resources)) }}{{ $wrong = append $wrong "gateway.hpa.enabled without gateway.resources.requests.cpu: processor use is relative to it" }}{{ end -}}
{{- end -}}
{{- with $gateway.strategy }}{{ $wrong = concat $wrong (include "sense.wrongStrategy" (list "gateway.strategy" .) | fromJsonArray) }}{{ end -}}
{{- toJson $wrong -}}
{{- end -}}

{{- define "sense.wrongNetwork" -}}
{{- $wrong := list -}}
{{- if and .Values.ingress.enabled .Values.httpRoute.enabled }}{{ $wrong = append $wrong "ingress.enabled and httpRoute.enabled: take one of them" }}{{ end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}{{ $wrong = append $wrong "ingress.enabled without ingress.host: set the host name" }}{{ end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}{{ $wrong = append $wrong "httpRoute.enabled without httpRoute.parentRefs: name the Gateway" }}{{ end -}}
{{- with .Values.httpRoute -}}
{{- $most := include "sense.milliseconds" .timeout | int64 -}}
{{- $needs := include "sense.requestSeconds" $ | int64 -}}
{{- if and .enabled $most (lt $most (mul 1000 $needs)) }}{{ $wrong = append $wrong (printf "httpRoute.timeout is %s, less than gateway.limits.request_s (%d): answers would be cut off" .timeout $needs) }}{{ end -}}
{{- end -}}
{{- with .Values.monitoring.serviceMonitor -}}
{{- if and .enabled (gt (include "sense.milliseconds" .scrapeTimeout | int64) (include "sense.milliseconds" .interval | int64)) }}{{ $wrong = append $wrong (printf "monitoring.serviceMonitor.scrapeTimeout is %s, more than interval (%s): Prometheus would not take the ServiceMonitors" .scrapeTimeout .interval) }}{{ end -}}
{{- end -}}
{{- with .Values.networkPolicy -}}
{{- if .enabled -}}
{{- if and (or $.Values.monitoring.serviceMonitor.enabled $.Values.vllm.keda.enabled) (not .prometheus) }}{{ $wrong = append $wrong "networkPolicy.prometheus is empty: Prometheus could not scrape vLLM; name its pods, or set monitoring.serviceMonitor.enabled and vllm.keda.enabled to false" }}{{ end -}}
{{- if and $.Values.vllm.lora.adapters (not .vllmClients) }}{{ $wrong = append $wrong "networkPolicy.vllmClients is empty: nobody could call the adapters of vllm.lora.adapters, which the gateway does not use; name the pods that call vLLM" }}{{ end -}}
{{- if and $.Values.gateway.databases.urls (not .databases) }}{{ $wrong = append $wrong "networkPolicy.databases is empty: the gateway could not reach gateway.databases.urls; say where they are" }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{/* (list NAME RESOURCES): the API server takes no request above its limit */}}
{{- define "sense.wrongResources" -}}
{{- $wrong := list -}}
{{- $name := index . 0 -}}
{{- $limits := dig "limits" (dict) (index . 1) -}}
{{- range $resource, $asked := dig "requests" (dict) (index . 1) -}}
{{- if hasKey $limits $resource -}}
{{- $most := get $limits $resource -}}
{{- if gt (include "sense.number" $asked | float64) (include "sense.number" $most | float64) }}{{ $wrong = append $wrong (printf "%s.requests.%s is %v, more than its limit (%v): raise the limit, or ask for less" $name $resource $asked $most) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{/* A duration ("1m30s") in milliseconds; "": 0 */}}
{{- define "sense.milliseconds" -}}
{{- $total := 0 -}}
{{- range regexFindAll "[0-9]+(ms|h|m|s)" . -1 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $total = add $total (mul (trimSuffix $unit . | int64) (get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) $unit)) -}}
{{- end -}}
{{- $total -}}
{{- end -}}

{{/* "yes" if a strategy starts new pods before old ones are gone; a missing maxSurge is 25% */}}
{{- define "sense.surges" -}}
{{- if eq .type "RollingUpdate" -}}
{{- if not (has (dig "rollingUpdate" "maxSurge" "25%" . | toString) (list "0" "0%")) -}}yes{{- end -}}
{{- end -}}
{{- end -}}

{{- define "sense.wrongStrategy" -}}
{{- $wrong := list -}}
{{- $name := index . 0 -}}
{{- with index . 1 -}}
{{- if and (eq .type "Recreate") (kindIs "map" .rollingUpdate) }}{{ $wrong = append $wrong (printf "%s: type Recreate has no rollingUpdate; set it to null" $name) }}{{ end -}}
{{- if and (eq .type "RollingUpdate") (not (include "sense.surges" .)) (has (dig "rollingUpdate" "maxUnavailable" "25%" . | toString) (list "0" "0%")) }}{{ $wrong = append $wrong (printf "%s: maxSurge and maxUnavailable are both 0; one must be more" $name) }}{{ end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{/* Values that the schema lets through and that cannot work, all told at once */}}
{{- define "sense.validate" -}}
{{- $wrong := concat
  (include "sense.wrongCharacters" . | fromJsonArray)
  (include "sense.wrongNames" . | fromJsonArray)
  (include "sense.wrongModel" . | fromJsonArray)
  (include "sense.wrongCanary" . | fromJsonArray)
  (include "sense.wrongSource" . | fromJsonArray)
  (include "sense.wrongOutput" . | fromJsonArray)
  (include "sense.wrongVllm" . | fromJsonArray)
  (include "sense.wrongGateway" . | fromJsonArray)
  (include "sense.wrongNetwork" . | fromJsonArray)
  (include "sense.wrongImages" . | fromJsonArray)
  (include "sense.wrongVolumes" . | fromJsonArray)
  (include "sense.wrongTolerations" . | fromJsonArray)
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
{{- range $part := list "vllm" "gateway" -}}
{{- if and $.Values.vllm.serviceAccount.create (eq (include "sense.serviceAccountName" (list $ $part)) (include "sense.prefetchAccount" $)) }}{{ $wrong = append $wrong (printf "%s.serviceAccount.name is that of the Job before an upgrade, %s: give it another" $part (include "sense.prefetchAccount" $)) }}{{ end -}}
{{- end -}}
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
{{- $wrong = concat $wrong (include "sense.wrongResources" (list "test.resources" .Values.test.resources) | fromJsonArray) -}}
{{- $own := dict "model" "model" "served-model-name" "model" "port" "vllm.port" "api-key" "vllm.apiKey.existingSecret" -}}
{{- range list "tensor-parallel-size" "tp" "pipeline-parallel-size" "pp" "data-parallel-size" "dp" }}{{ $_ := set $own . "vllm.tensorParallelSize" }}{{ end -}}
{{- range $vllm.extraArgs -}}
{{- $word := regexFind "^--?[a-z_-]+" . -}}
{{- with get $own (trimAll "-" $word | replace "_" "-") }}{{ $wrong = append $wrong (printf "vllm.extraArgs has %s, on which other objects depend: set %s instead" $word .) }}{{ end -}}
{{- end -}}
{{- $model := dig "model_s" 30 .Values.gateway.limits | ceil | int64 -}}
{{- if lt (int64 $vllm.shutdownTimeoutSeconds) $model }}{{ $wrong = append $wrong (printf "vllm.shutdownTimeoutSeconds is %d, less than gateway.limits.model_s (%d): a rollout would cut answers off" (int64 $vllm.shutdownTimeoutSeconds) $model) }}{{ end -}}
{{- $most := int64 (ternary $vllm.keda.maxReplicas $vllm.replicas $vllm.keda.enabled) -}}
{{- range $value, $claim := dict "storage.persistence" $vllm.storage.persistence "cachePersistence" $vllm.cachePersistence -}}
{{- with $claim -}}
{{- if and .enabled (gt $most 1) (ne .accessMode "ReadWriteMany") }}{{ $wrong = append $wrong (printf "vllm.%s.accessMode is %s with up to %d replicas: they need ReadWriteMany (a claim keeps its mode: name a new one in existingClaim), or %s.enabled: false" $value .accessMode $most (splitList "." $value | last)) }}{{ end -}}
{{- if and .enabled (ne .accessMode "ReadWriteMany") (include "sense.surges" $vllm.strategy) }}{{ $wrong = append $wrong (printf "vllm.strategy starts a pod before the old one is gone, but vllm.%s.accessMode is %s: set maxSurge to 0" $value .accessMode) }}{{ end -}}
{{- end -}}
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
{{- range $part := ternary (list "gateway") (list "vllm" "gateway") (eq .Values.output "kserve") -}}
{{- with dig "wrong" "" (include "sense.scale" (list $ $part) | fromJson) }}{{ $wrong = append $wrong . }}{{ end -}}
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
{{- range $value, $peers := .Values.networkPolicy -}}
{{- range regexFindAll "\"[0-9A-Fa-f.:]+/[0-9]+\"[],}]" (toJson $peers) -1 -}}
{{- $cidr := regexFind "[^\"]+/[0-9]+" . -}}
{{- if not (or (regexMatch (include "sense.ipv4Cidr" $) $cidr) (regexMatch (include "sense.ipv6Cidr" $) $cidr)) }}{{ $wrong = append $wrong (printf "networkPolicy.%s: %s is no range of addresses: write ADDRESS/LENGTH, the numbers of an IPv4 address from 0 to 255 and LENGTH up to 32 (IPv6: 128), for example 10.0.0.0/8" $value $cidr) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{- define "sense.ipv4Cidr" -}}
^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(\.|/)){4}(3[0-2]|[12]?[0-9])$
{{- end -}}

{{/* Eight groups, or fewer with one :: */}}
{{- define "sense.ipv6Cidr" -}}
^(([0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}|([0-9A-Fa-f]{1,4}:){1,7}:|([0-9A-Fa-f]{1,4}:){1,6}(:[0-9A-Fa-f]{1,4})|([0-9A-Fa-f]{1,4}:){1,5}(:[0-9A-Fa-f]{1,4}){1,2}|([0-9A-Fa-f]{1,4}:){1,4}(:[0-9A-Fa-f]{1,4}){1,3}|([0-9A-Fa-f]{1,4}:){1,3}(:[0-9A-Fa-f]{1,4}){1,4}|([0-9A-Fa-f]{1,4}:){1,2}(:[0-9A-Fa-f]{1,4}){1,5}|[0-9A-Fa-f]{1,4}:(:[0-9A-Fa-f]{1,4}){1,6}|:(:[0-9A-Fa-f]{1,4}){1,7}|::)/(12[0-8]|1[01][0-9]|[1-9]?[0-9])$
{{- end -}}

{{/* An image without a registry is looked for on Docker Hub, where SENSE's are not */}}
{{- define "sense.wrongImages" -}}
{{- $wrong := list -}}
{{- range $name, $image := .Values.images -}}
{{- if kindIs "map" $image -}}
{{- if not $image.repository }}{{ $wrong = append $wrong (printf "images.%s.repository is missing: set it to the image with its registry, for example registry.example.com/sense-%s" $name (ternary "train" $name (eq $name "fetch"))) }}
{{- else if not (regexMatch "^(localhost|[^/]*[.:][^/]*)/" $image.repository) }}{{ $wrong = append $wrong (printf "images.%s.repository is %s, without a registry: write REGISTRY/%s (docker.io/library/%s for an image that was loaded onto the nodes)" $name $image.repository $image.repository $image.repository) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{/* Claims of size 0, paths that leave their volume, and volumes that would not be there or hide the chart's own */}}
{{- define "sense.wrongVolumes" -}}
{{- $wrong := list -}}
{{- $vllm := .Values.vllm -}}
{{- $claims := dict "vllm.storage.persistence" $vllm.storage.persistence "vllm.cachePersistence" $vllm.cachePersistence "gateway.feedback" .Values.gateway.feedback -}}
{{- range $value, $claim := $claims -}}
{{- if and $claim.enabled (not $claim.existingClaim) (eq (include "sense.number" $claim.size | float64) 0.0) }}{{ $wrong = append $wrong (printf "%s.size is %v: a claim needs more than nothing, for example 200Gi; or name one in existingClaim" $value $claim.size) }}{{ end -}}
{{- end -}}
{{- range .Values.gateway.databases.claims -}}
{{- if has ".." (splitList "/" (default "" .subPath)) }}{{ $wrong = append $wrong (printf "gateway.databases.claims (%s) subPath is %s: it must stay in the claim, without .." .name .subPath) }}{{ end -}}
{{- end -}}
{{- with .Values.caBundle }}{{ if and .configMap .secret }}{{ $wrong = append $wrong (printf "caBundle.configMap is %s and caBundle.secret %s: name one of them" .configMap .secret) }}{{ end }}{{ end -}}
{{- $names := dict "vllm" (list "models" "cache" "tmp" "shm" "ca") "gateway" (list "config" "tmp" "feedback" "ca") -}}
{{- $paths := dict "vllm" (list "/models" "/cache" "/tmp" "/dev/shm" "/etc/sense-ca") "gateway" (list "/etc/sense" "/tmp" "/var/lib/sense/feedback" "/etc/sense-ca") -}}
{{- range $part, $own := $names -}}
{{- $values := index $.Values $part -}}
{{- $volumes := list -}}
{{- range $values.extraVolumes -}}
{{- if or (has .name $own) (has .name $volumes) (and (eq $part "gateway") (hasPrefix "database-" .name)) }}{{ $wrong = append $wrong (printf "%s.extraVolumes: %s is the name of another volume of the pod; give it one of its own" $part .name) }}{{ end -}}
{{- $volumes = append $volumes .name -}}
{{- end -}}
{{- $lists := dict (printf "%s.extraVolumeMounts" $part) $values.extraVolumeMounts -}}
{{- if eq $part "vllm" }}{{ $_ := set $lists "vllm.download.extraVolumeMounts" $vllm.download.extraVolumeMounts }}{{ end -}}
{{- $mounted := list -}}
{{- range $list, $mounts := $lists -}}
{{- $taken := index $paths $part -}}
{{- range $mounts -}}
{{- $path := trimSuffix "/" .mountPath -}}
{{- if not (has .name $volumes) }}{{ $wrong = append $wrong (printf "%s: %s is none of %s.extraVolumes; add it there" $list .name $part) }}{{ end -}}
{{- if or (has $path $taken) (hasPrefix "/databases/" $path) }}{{ $wrong = append $wrong (printf "%s: something else is mounted at %s; take another mountPath" $list .mountPath) }}{{ end -}}
{{- if has ".." (concat (splitList "/" $path) (splitList "/" (default "" .subPath))) }}{{ $wrong = append $wrong (printf "%s: mountPath and subPath of %s must not have .." $list .name) }}{{ end -}}
{{- if hasPrefix "/" (default "" .subPath) }}{{ $wrong = append $wrong (printf "%s: subPath of %s is %s: it must be relative to the volume" $list .name .subPath) }}{{ end -}}
{{- $taken = append $taken $path -}}
{{- $mounted = append $mounted .name -}}
{{- end -}}
{{- end -}}
{{- range $volumes }}{{ if not (has . $mounted) }}{{ $wrong = append $wrong (printf "%s.extraVolumes: %s is mounted nowhere; mount it in %s, or remove it" $part . (keys $lists | sortAlpha | join " or ")) }}{{ end }}{{ end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}

{{- define "sense.wrongTolerations" -}}
{{- $wrong := list -}}
{{- range $part := list "vllm" "gateway" -}}
{{- range (index $.Values $part).tolerations -}}
{{- $operator := default "Equal" .operator -}}
{{- $name := printf "%s.tolerations (%s)" $part (default "every key" .key) -}}
{{- if and (eq $operator "Exists") .value }}{{ $wrong = append $wrong (printf "%s: operator Exists takes no value, but value is %s: remove it, or set operator to Equal" $name .value) }}{{ end -}}
{{- if and (eq $operator "Equal") (not .key) }}{{ $wrong = append $wrong (printf "%s: without a key operator must be Exists" $name) }}{{ end -}}
{{- if and (hasKey . "tolerationSeconds") (ne (default "" .effect) "NoExecute") }}{{ $wrong = append $wrong (printf "%s: tolerationSeconds is for effect NoExecute, but effect is %s: remove tolerationSeconds, or set effect to NoExecute" $name (default "empty" .effect)) }}{{ end -}}
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

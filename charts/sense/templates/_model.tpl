{{/* The name under which vLLM serves a version: (dict "name" "sense" "version" "3") */}}
{{- define "sense.served" -}}
{{- .name -}}-{{- .version -}}
{{- end -}}

{{/* The folder of the model on the volume: another content is another folder, whatever its version is called */}}
{{- define "sense.modelFolder" -}}
/models/{{ .Values.model.name }}/{{ .Values.model.version }}{{ with .Values.model.digest }}-{{ trunc 12 . }}{{ end }}
{{- end -}}

{{/* An adapter's MLflow URI */}}
{{- define "sense.adapterUri" -}}
{{- if .uri -}}{{ .uri }}{{- else -}}models:/{{ .name }}/{{ .version }}{{- end -}}
{{- end -}}

{{- define "sense.adapterName" -}}
{{- if .uri -}}{{ .name }}{{- else -}}{{ include "sense.served" . }}{{- end -}}
{{- end -}}

{{- define "sense.adapterFolder" -}}
/models/adapters/{{ .name }}-{{ include "sense.adapterUri" . | sha256sum | trunc 12 }}
{{- end -}}

{{/* What the init container downloads or compares, one JSON object an argument */}}
{{- define "sense.downloads" -}}
{{- $all := list (include "sense.modelArgument" .) -}}
{{- range .Values.vllm.lora.adapters -}}
{{- $one := dict "uri" (include "sense.adapterUri" .) "into" (include "sense.adapterFolder" .) "needs" "adapter_config.json" "digest" "" -}}
{{- $all = append $all (toJson $one) -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* vLLM's arguments. `vllm serve` takes the model as its first word, the server's module as an option */}}
{{- define "sense.arguments" -}}
{{- $vllm := .Values.vllm -}}
{{- $folder := include "sense.modelPath" . -}}
{{- $words := ternary (list $folder) (list "--model" $folder) (eq (last $vllm.command) "serve") -}}
{{- $words = concat $words (list "--served-model-name" (include "sense.served" .Values.model)) -}}
{{- $words = concat $words (list "--port" (int64 $vllm.port | toString)) -}}
{{- $words = concat $words (list "--dtype" $vllm.dtype) -}}
{{- with $vllm.maxModelLen }}{{ $words = concat $words (list "--max-model-len" (int64 . | toString)) }}{{ end -}}
{{- $words = concat $words (list "--tensor-parallel-size" (int64 $vllm.tensorParallelSize | toString)) -}}
{{- if $vllm.gpu.count }}{{ $words = concat $words (list "--gpu-memory-utilization" (toString $vllm.gpuMemoryUtilization)) }}{{ end -}}
{{- $words = concat $words (list "--shutdown-timeout" (int64 $vllm.shutdownTimeoutSeconds | toString)) -}}
{{- if $vllm.enforceEager }}{{ $words = append $words "--enforce-eager" }}{{ end -}}
{{- with $vllm.lora.adapters -}}
{{- $words = concat $words (list "--enable-lora" "--max-lora-rank" (int64 $vllm.lora.maxRank | toString) "--max-loras" (len . | toString) "--lora-modules") -}}
{{- range . }}{{ $words = append $words (printf "%s=%s" (include "sense.adapterName" .) (include "sense.adapterFolder" .)) }}{{ end -}}
{{- end -}}
{{- toYaml (concat $words $vllm.extraArgs) -}}
{{- end -}}

{{/* vLLM's environment: everything that libraries keep goes under /cache */}}
{{- define "sense.vllmEnv" -}}
{{- $vllm := .Values.vllm -}}
{{- $env := list
  (dict "name" "HOME" "value" "/cache")
  (dict "name" "USER" "value" "vllm")
  (dict "name" "LOGNAME" "value" "vllm")
  (dict "name" "XDG_CACHE_HOME" "value" "/cache/.cache")
  (dict "name" "XDG_CONFIG_HOME" "value" "/cache/.config")
  (dict "name" "HF_HOME" "value" "/cache/huggingface")
  (dict "name" "VLLM_CACHE_ROOT" "value" "/cache/vllm")
  (dict "name" "TRITON_CACHE_DIR" "value" "/cache/triton")
  (dict "name" "TORCHINDUCTOR_CACHE_DIR" "value" "/cache/inductor")
  (dict "name" "HF_HUB_OFFLINE" "value" "1")
  (dict "name" "VLLM_NO_USAGE_STATS" "value" "1")
-}}
{{- if not $vllm.gpu.count }}{{ $env = append $env (dict "name" "VLLM_CPU_KVCACHE_SPACE" "value" (int64 $vllm.cpuKvCacheGiB | toString)) }}{{ end -}}
{{- with $vllm.apiKey.existingSecret }}{{ $env = append $env (include "sense.fromSecret" (list "VLLM_API_KEY" . $vllm.apiKey.key) | fromJson) }}{{ end -}}
{{- include "sense.env" (list . $env $vllm.env) -}}
{{- end -}}

{{/* What the chart asks the cluster. `lookup` answers in `helm install`, `helm upgrade` and with --dry-run=server; it returns nothing in
`helm template`, in Argo CD and with --dry-run=client */}}

{{/* The number of replicas in a Deployment's manifest, or nothing where an autoscaler alone sets it: (list $ "vllm") */}}
{{- define "sense.replicas" -}}
{{- dig "replicas" "" (include "sense.scale" . | fromJson) -}}
{{- end -}}

{{/* {replicas} of a Deployment's manifest, {} for none, or {wrong}, a message, as JSON: (list $ "vllm").

A manifest that loses its `replicas` sets a running Deployment to 1: in client-side apply because the last manifest had the field, in
server-side apply because its only owner gave it up. So what runs is repeated, unless the manifest before had no `replicas` either, of
which the annotation sense/replicas tells, or another owner has taken the field in server-side apply. */}}
{{- define "sense.scale" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $values := index $root.Values $part -}}
{{- $key := ternary "keda" "hpa" (eq $part "vllm") -}}
{{- $path := printf "%s.%s" $part $key -}}
{{- $scaler := index $values $key -}}
{{- $keep := toString $scaler.keepReplicas -}}
{{- $scale := dict -}}
{{- if not $scaler.enabled -}}
{{- $scale = dict "replicas" (int64 $values.replicas | toString) -}}
{{- else -}}
{{- $name := printf "%s-%s" (include "sense.fullname" $root) $part -}}
{{- $live := lookup "apps/v1" "Deployment" $root.Release.Namespace $name -}}
{{- if $live -}}
{{- if ne (dig "metadata" "annotations" "sense/replicas" "" $live) "autoscaler" -}}
{{- if ne $keep "false" -}}
{{- $scale = dict "replicas" (int64 $live.spec.replicas | toString) -}}
{{- else if not (include "sense.hasOtherOwner" $live) -}}
{{- $scale = dict "wrong" (printf "%s.keepReplicas is false, but the manifest of Deployment %s still owns its replicas: without them it would go from %d to 1. Set it to null (or to true, for Argo CD): the chart then keeps what runs. README, Autoscaling, says how the field is handed over" $path $name (int64 $live.spec.replicas)) -}}
{{- end -}}
{{- end -}}
{{- else if eq $keep "true" -}}
{{- $scale = dict "replicas" (int64 $values.replicas | toString) -}}
{{- else if and (ne $keep "false") (not (lookup "apps/v1" "Deployment" $root.Release.Namespace "")) -}}
{{- $scale = dict "wrong" (printf "%s.enabled where the chart cannot ask the cluster (helm template, Argo CD, --dry-run=client): if Deployment %s runs already, a manifest without replicas would set it to 1. Set %s.keepReplicas: true and %s.replicas to the number that runs; for a first install set keepReplicas: false. Or let Helm itself render: helm upgrade, --dry-run=server. README, Autoscaling, has the steps" $path $name $path $part) -}}
{{- end -}}
{{- end -}}
{{- toJson $scale -}}
{{- end -}}

{{/* "yes" if a live Deployment is applied by the server, and somebody else than who applies it owns its replicas too */}}
{{- define "sense.hasOtherOwner" -}}
{{- $applied := false -}}
{{- $owned := false -}}
{{- range dig "metadata" "managedFields" (list) . -}}
{{- $owns := hasKey (dig "fieldsV1" "f:spec" (dict) .) "f:replicas" -}}
{{- if and $owns (or (eq (default "" .subresource) "scale") (eq .manager "sense-handover")) }}{{ $owned = true }}
{{- else if eq .operation "Apply" }}{{ $applied = true }}{{ end -}}
{{- end -}}
{{- if and $applied $owned -}}yes{{- end -}}
{{- end -}}

{{/* The claim that the Job before an upgrade may mount, or nothing: it does not exist yet, or one node alone can mount it and no pod of
vLLM says which */}}
{{- define "sense.prefetchClaim" -}}
{{- $claim := include "sense.modelsClaim" . -}}
{{- with .Values.vllm.storage.persistence -}}
{{- if and .enabled $.Values.vllm.prefetch.toClaim (or .existingClaim (lookup "v1" "PersistentVolumeClaim" $.Release.Namespace $claim)) -}}
{{- if or (eq .accessMode "ReadWriteMany") (and (eq .accessMode "ReadWriteOnce") (include "sense.vllmIsReady" $)) -}}
{{- $claim -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* "yes" if a pod of vLLM is ready now */}}
{{- define "sense.vllmIsReady" -}}
{{- $live := lookup "apps/v1" "Deployment" .Release.Namespace (include "sense.vllmDeployment" .) -}}
{{- if and $live (dig "status" "readyReplicas" 0 $live) -}}yes{{- end -}}
{{- end -}}

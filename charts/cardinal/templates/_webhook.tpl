{{/* Parts of the webhook's configuration. */}}

{{/* (dict "root" $ "bundle" PEM): what all our webhooks have in common. */}}
{{- define "cardinal.webhook" -}}
{{- $ns := include "cardinal.namespace" .root -}}
{{- $w := .root.Values.scheduler.admissionWebhook -}}
admissionReviewVersions: [v1, v1beta1]
sideEffects: None
matchPolicy: Equivalent
reinvocationPolicy: {{ $w.reinvocationPolicy }}
timeoutSeconds: {{ $w.timeoutSeconds | int }}
clientConfig:
  {{- if $w.customURL.enabled }}
  {{- $host := contains ":" $w.customURL.host | ternary (printf "[%s]" $w.customURL.host) $w.customURL.host }}
  url: {{ printf "https://%s:%d%s" $host ($w.customURL.port | int) $w.customURL.path }}
  {{- else }}
  service:
    name: {{ include "cardinal.scheduler" .root }}
    namespace: {{ $ns | quote }}
    path: /webhook
    port: {{ .root.Values.scheduler.service.httpPort }}
  {{- end }}
  {{- with .bundle }}
  caBundle: {{ b64enc . }}
  {{- end }}
rules:
- operations: [CREATE]
  apiGroups: [""]
  apiVersions: [v1]
  resources: [pods]
  scope: Namespaced
{{- if $w.manageNamespaceSelector }}
namespaceSelector:
  {{- with $w.namespaceSelector.matchLabels }}
  matchLabels:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  matchExpressions:
  - {key: hami.io/webhook, operator: NotIn, values: [ignore]}
  - {key: kubernetes.io/metadata.name, operator: NotIn, values: {{ concat (list "kube-system" $ns) ($w.whitelistNamespaces | default list) | uniq | toJson }}}
  {{- with $w.namespaceSelector.matchExpressions }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
objectSelector:
  {{- with $w.objectSelector.matchLabels }}
  matchLabels:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  matchExpressions:
  - {key: hami.io/webhook, operator: NotIn, values: [ignore]}
  {{- with $w.objectSelector.matchExpressions }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Whether pods that ask for nothing matter too. Where the device configuration can't be read, the value says so. */}}
{{- define "cardinal.everyPod" -}}
{{- $text := include "cardinal.deviceConfig" . | default (include "cardinal.existingDeviceConfig" .) -}}
{{- if $text -}}
{{- regexMatch "(?m)^[^#]*overwriteEnv[\"']?: *[\"']?true" $text -}}
{{- else -}}
{{- include "cardinal.yes" .Values.scheduler.overwriteEnv -}}
{{- end -}}
{{- end -}}

{{/* CEL: the pod names our scheduler, carries keys that only a placement may write, or asks for a resource of ours. A pod
may lack any list and map; the names are written once, bound by a macro over a list of one list. The API server writes
default-scheduler into every pod that names none, before it asks: that name says nothing of a pod. */}}
{{- define "cardinal.forUs" -}}
{{- $names := splitList "\n" (include "cardinal.managedResources" .) -}}
{{- $keys := list "predicate-time" "assigned-containers" "CAMBRICON_DSMLU_ASSIGNED" "CAMBRICON_DSMLU_PROFILE" "mthreads.com/gpu-index" "mthreads.com/predicate-time" "mthreads.com/predicate-node" "metax-tech.com/gpu-devices-allocated" "metax-tech.com/predicate-time" "enflame.com/gcu-assigned" "enflame.com/gcu-assigned-time" "enflame.com/gcu-assigned-index" "enflame.com/gcu-assigned-id" "enflame.com/gcu-assigned-minor" "enflame.com/gcu-request-size" "BAIDU_COM_DEVICE_IDX" "AWS_NEURON_IDS" "NEURON_RESOURCE_TYPE" "NEURON_ALLOC_TIME" "NEURON_ALLOCATED" "aws.amazon.com/predicate-node" -}}
{{- $keys = concat $keys (without (splitList "\n" (include "cardinal.vendorKeys" .)) "") -}}
{{- $key := printf "k.startsWith('hami.io/') || k.startsWith('huawei.com/') || k.startsWith('cardinal.io/') || k in keys" -}}
{{ if ne .Values.schedulerName "default-scheduler" }}(has(object.spec.schedulerName) && object.spec.schedulerName == '{{ .Values.schedulerName }}') ||
{{ end }}[[{{ range $i, $k := $keys }}{{ if $i }},{{ end }}'{{ $k }}'{{ end }}]].exists(keys,
 (has(object.metadata.annotations) && object.metadata.annotations.exists(k, {{ $key }})) ||
 (has(object.metadata.labels) && object.metadata.labels.exists(k, {{ $key }}))) ||
[[{{ range $i, $n := $names }}{{ if $i }},{{ end }}'{{ $n }}'{{ end }}]].exists(names,
 [has(object.spec.containers) ? object.spec.containers : [],
  has(object.spec.initContainers) ? object.spec.initContainers : []].exists(list, list.exists(c, has(c.resources) && (
  (has(c.resources.limits) && c.resources.limits.exists(r, r in names)) ||
  (has(c.resources.requests) && c.resources.requests.exists(r, r in names))))))
{{- end -}}

{{/* kube-scheduler's configuration: whole for the one beside us, and what a remote one must add to its own. */}}

{{- define "cardinal.extender" -}}
{{- if .Values.scheduler.kubeScheduler.enabled -}}
urlPrefix: http://127.0.0.1:{{ include "cardinal.extenderPort" . }}
{{- else -}}
{{- $name := include "cardinal.verbsName" . -}}
urlPrefix: {{ include "cardinal.remoteURL" . }}
enableHTTPS: true
tlsConfig:
  serverName: {{ $name }}
  caFile: {{ .Values.scheduler.remote.clientFiles }}/ca.crt
  certFile: {{ .Values.scheduler.remote.clientFiles }}/tls.crt
  keyFile: {{ .Values.scheduler.remote.clientFiles }}/tls.key
{{- end }}
filterVerb: filter
prioritizeVerb: prioritize
bindVerb: bind
weight: 1
nodeCacheCapable: true
httpTimeout: {{ include "cardinal.httpTimeout" . }}
managedResources:
{{- range splitList "\n" (include "cardinal.managedResources" .) }}
- {name: {{ . | quote }}, ignoredByScheduler: true}
{{- end }}
{{- end -}}

{{- define "cardinal.remoteURL" -}}
{{- .Values.scheduler.remote.url | default (printf "https://%s:%s" (include "cardinal.verbsName" .) (include "cardinal.extenderPort" .)) -}}
{{- end -}}

{{- define "cardinal.verbsName" -}}
{{- include "cardinal.scheduler" . }}-verbs.{{ include "cardinal.namespace" . }}.svc
{{- end -}}

{{- define "cardinal.schedulerConfig" -}}
{{- $s := .Values.scheduler -}}
{{- $profile := dict "schedulerName" .Values.schedulerName "percentageOfNodesToScore" ($s.percentageOfNodesToScore | int) -}}
{{- $config := dict -}}
{{- if $s.kubeScheduler.enabled -}}
{{- $profile = mustMerge $profile $s.kubeScheduler.profile -}}
{{- $election := dict "leaderElect" $s.leaderElect -}}
{{- if $s.leaderElect -}}
{{- $_ := set $election "resourceLock" "leases" -}}
{{- $_ := set $election "resourceName" .Values.schedulerName -}}
{{- $_ := set $election "resourceNamespace" (include "cardinal.namespace" .) -}}
{{- end -}}
{{- $config = mustMerge (dict "leaderElection" $election) $s.kubeScheduler.config -}}
{{- end -}}
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
{{- with $config }}
{{ toYaml . }}
{{- end }}
profiles:
- {{ toYaml $profile | nindent 2 | trim }}
extenders:
- {{ include "cardinal.extender" . | nindent 2 | trim }}
{{- end -}}

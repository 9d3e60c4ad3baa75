{{/* What is scraped, and how: one list of members for ServiceMonitor and PodMonitor. */}}

{{/* HAMi's value asks for a ServiceMonitor too. */}}
{{- define "cardinal.serviceMonitor" -}}
{{- or .Values.prometheus.enabled .Values.monitoring.serviceMonitor.enabled -}}
{{- end -}}

{{/* What can't be had of these values, for the list of all that can't (_refuse.tpl). */}}
{{- define "cardinal.monitoring.refusals" -}}
{{- $m := .Values.monitoring -}}
{{- if and (eq (include "cardinal.serviceMonitor" .) "true") $m.podMonitor.enabled }}
[two-monitors] a ServiceMonitor and a PodMonitor would scrape every replica twice: set one of monitoring.serviceMonitor.enabled (or prometheus.enabled) and monitoring.podMonitor.enabled to false
{{- end }}
{{- if and $m.scrape.interval $m.scrape.scrapeTimeout }}
{{- if gt (include "cardinal.ms" $m.scrape.scrapeTimeout | int64) (include "cardinal.ms" $m.scrape.interval | int64) }}
[scrape-timeout] monitoring.scrape.scrapeTimeout ({{ $m.scrape.scrapeTimeout }}) is longer than monitoring.scrape.interval ({{ $m.scrape.interval }}), which Prometheus refuses: lower the one or raise the other
{{- end }}
{{- end }}
{{- $names := dict }}
{{- range $path, $bytes := .Files.Glob "rules/*.yaml" }}
{{- range (fromYaml (toString $bytes)).groups }}
{{- range .rules }}
{{- $_ := set $names .alert true }}
{{- end }}
{{- end }}
{{- end }}
{{- range concat $m.prometheusRule.disabled (keys $m.prometheusRule.overrides | sortAlpha) }}
{{- if not (hasKey $names .) }}
[unknown-alert] monitoring.prometheusRule names the alert {{ . | quote }}, which there is not; there are: {{ keys $names | sortAlpha | join ", " }}
{{- end }}
{{- end }}
{{- end -}}

{{/* (list $ the settings of the object: namespace, labels, annotations) */}}
{{- define "cardinal.monitoring.metadata" -}}
{{- $root := index . 0 -}}
{{- $of := index . 1 -}}
namespace: {{ $of.namespace | default (include "cardinal.namespace" $root) | quote }}
labels:
  {{- toYaml (mergeOverwrite (fromYaml (include "cardinal.labels" $root)) $of.labels) | nindent 2 }}
{{- with $of.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "cardinal.monitoring.endpoint" -}}
{{- with .Values.monitoring.scrape -}}
path: /metrics
scheme: http
honorLabels: {{ .honorLabels }}
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* The groups of rules/*.yaml as the values want them: without those that are disabled, with members put over. */}}
{{- define "cardinal.monitoring.groups" -}}
{{- $rule := .Values.monitoring.prometheusRule -}}
{{- $groups := list -}}
{{- $here := printf "namespace=%q" (include "cardinal.namespace" .) -}}
{{- range $path, $bytes := .Files.Glob "rules/*.yaml" -}}
{{- range $group := (fromYaml (toString $bytes)).groups -}}
{{- $rules := list -}}
{{- range $group.rules -}}
{{- if not (has .alert $rule.disabled) -}}
{{- $one := merge (dict) . -}}
{{- $_ := set $one "expr" (.expr | replace `namespace=~".*"` $here) -}}
{{- with $rule.runbookUrl -}}
{{- $_ := set $one "annotations" (merge (dict "runbook_url" (printf "%s#%s" . (lower $one.alert))) $one.annotations) -}}
{{- end -}}
{{- $one = mergeOverwrite $one (deepCopy (get $rule.overrides .alert | default dict)) -}}
{{- $rules = append $rules $one -}}
{{- end -}}
{{- end -}}
{{- if $rules -}}
{{- $groups = append $groups (dict "name" $group.name "rules" $rules) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml (concat $groups $rule.additionalGroups) -}}
{{- end -}}

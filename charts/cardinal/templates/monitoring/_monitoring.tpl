{{/* What is scraped, and how: one list of members for ServiceMonitor and PodMonitor. */}}

{{/* HAMi's value asks for a ServiceMonitor too. */}}
{{- define "cardinal.serviceMonitor" -}}
{{- or .Values.prometheus.enabled .Values.monitoring.serviceMonitor.enabled -}}
{{- end -}}

{{- define "cardinal.monitoring.refuse" -}}
{{- $m := .Values.monitoring -}}
{{- if and (eq (include "cardinal.serviceMonitor" .) "true") $m.podMonitor.enabled -}}
{{- fail "monitoring: a ServiceMonitor and a PodMonitor would scrape every replica twice; set one of monitoring.serviceMonitor.enabled (or prometheus.enabled) and monitoring.podMonitor.enabled to false" -}}
{{- end -}}
{{- if and $m.scrape.interval $m.scrape.scrapeTimeout -}}
{{- if gt (include "cardinal.ms" $m.scrape.scrapeTimeout | int64) (include "cardinal.ms" $m.scrape.interval | int64) -}}
{{- fail (printf "monitoring.scrape.scrapeTimeout %s is longer than monitoring.scrape.interval %s, which Prometheus refuses; lower the one or raise the other" $m.scrape.scrapeTimeout $m.scrape.interval) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* (list $ "name of the object's kind of settings") → metadata */}}
{{- define "cardinal.monitoring.metadata" -}}
{{- $root := index . 0 -}}
{{- $of := index . 1 -}}
namespace: {{ $of.namespace | default (include "cardinal.namespace" $root) }}
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
{{- $names := dict -}}
{{- $here := printf "namespace=%q" (include "cardinal.namespace" .) -}}
{{- range $path, $bytes := .Files.Glob "rules/*.yaml" -}}
{{- range $group := (fromYaml (toString $bytes)).groups -}}
{{- $rules := list -}}
{{- range $group.rules -}}
{{- $_ := set $names .alert true -}}
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
{{- range concat $rule.disabled (keys $rule.overrides | sortAlpha) -}}
{{- if not (hasKey $names .) -}}
{{- fail (printf "monitoring.prometheusRule names the alert %q, which there is not; known: %s" . (keys $names | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- toYaml (concat $groups $rule.additionalGroups) -}}
{{- end -}}

{{/* cardinald's command line. */}}
{{- define "cardinal.args" -}}
{{- $s := .Values.scheduler -}}
- --scheduler-name={{ .Values.schedulerName }}
- --scheduler-config-file=/config/config.yaml
- --device-config-file=/device-config/device-config.yaml
{{- range $file, $text := .Values.vendorFiles }}
- --vendor-file=/vendors/{{ $file }}
{{- end }}
- --enable-ascend={{ .Values.devices.ascend.enabled }}
- --enable-iluvatar={{ .Values.devices.iluvatar.enabled }}
{{- with $s.nodeLabelSelector }}
{{- $pairs := list }}
{{- range $key, $value := . }}{{- $pairs = append $pairs (printf "%s=%s" $key $value) }}{{- end }}
- {{ printf "--node-label-selector=%s" (join "," $pairs) | quote }}
{{- end }}
{{- if $s.kubeScheduler.enabled }}
- --listen-extender=127.0.0.1:{{ include "cardinal.extenderPort" . }}
{{- else }}
- --listen-extender=:{{ include "cardinal.extenderPort" . }}
- --extender-tls
- --extender-url={{ include "cardinal.remoteURL" . }}
- --client-ca-file=/client-ca/ca.crt
{{- end }}
{{- if $s.admissionWebhook.enabled }}
- --listen-webhook=:{{ include "cardinal.webhookPort" . }}
{{- end }}
{{- if eq (include "cardinal.tls" .) "true" }}
- --cert_file=/tls/tls.crt
- --key_file=/tls/tls.key
{{- end }}
- --metrics-bind-address={{ $s.metricsBindAddress }}
- --node-scheduler-policy={{ $s.defaultSchedulerPolicy.nodeSchedulerPolicy }}
- --gpu-scheduler-policy={{ $s.defaultSchedulerPolicy.gpuSchedulerPolicy }}
- --force-overwrite-default-scheduler={{ $s.forceOverwriteDefaultScheduler }}
- --bind-timeout={{ $s.bindTimeout }}
- --score-max={{ $s.scoreMax | int }}
- --node-lock-timeout={{ $s.nodeLockExpire }}
{{- if $s.adoptUnbound }}
- --adopt-unbound
{{- end }}
- --leader-elect={{ $s.leaderElect }}
{{- if $s.leaderElect }}
- --leader-elect-mode={{ ternary "follow" "own" $s.kubeScheduler.enabled }}
- --leader-elect-resource-name={{ include "cardinal.lease" . }}
- --leader-elect-resource-namespace={{ include "cardinal.namespace" . }}
- --leader-elect-role-label
{{- end }}
{{- if .Values.legacyMetrics }}
- --legacy-metrics
{{- end }}
{{- range $s.extender.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Beside kube-scheduler its Lease is followed; on its own cardinald has one that no kube-scheduler has. */}}
{{- define "cardinal.lease" -}}
{{- ternary .Values.schedulerName (printf "%s-cardinald" (include "cardinal.scheduler" .)) .Values.scheduler.kubeScheduler.enabled -}}
{{- end -}}

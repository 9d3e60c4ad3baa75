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

{{/* Whether the Deployment that is there has another election, or none: its leader knows nothing of a new one's Lease. */}}
{{- define "cardinal.otherElection" -}}
{{- $there := lookup "apps/v1" "Deployment" (include "cardinal.namespace" .) (include "cardinal.scheduler" .) -}}
{{- if $there -}}
{{- $flag := "^--leader-elect(-mode|-resource-name|-resource-namespace)?=" -}}
{{- $old := list -}}
{{- range dig "spec" "template" "spec" "containers" list $there -}}
{{- if eq .name "cardinald" -}}
{{- range .args -}}{{- if regexMatch $flag . -}}{{- $old = append $old . -}}{{- end -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $new := list -}}
{{- range fromYamlArray (include "cardinal.args" .) -}}
{{- if regexMatch $flag . -}}{{- $new = append $new . -}}{{- end -}}
{{- end -}}
{{- ne (join " " $old) (join " " $new) -}}
{{- end -}}
{{- end -}}

{{/* "true" where the Lease is of the release: it is not there yet, Helm has made it, or Helm had and kube-scheduler has made it
again. Of the last only the Deployment knows; a Lease that was left out then would be deleted while somebody leads by it. */}}
{{- define "cardinal.ownLease" -}}
{{- if .Values.scheduler.leaderElect -}}
{{- $ns := include "cardinal.namespace" . -}}
{{- $name := include "cardinal.lease" . -}}
{{- $there := lookup "coordination.k8s.io/v1" "Lease" $ns $name -}}
{{- $of := dig "metadata" "annotations" "meta.helm.sh/release-name" "" $there -}}
{{- $noted := dig "metadata" "annotations" "cardinal.io/lease" "" (lookup "apps/v1" "Deployment" $ns (include "cardinal.scheduler" .)) -}}
{{- or (not $there) (eq $of .Release.Name) (eq $noted $name) -}}
{{- end -}}
{{- end -}}

{{/* Beside kube-scheduler its Lease is followed; on its own cardinald has one that no kube-scheduler has. */}}
{{- define "cardinal.lease" -}}
{{- ternary .Values.schedulerName (printf "%s-cardinald" (include "cardinal.scheduler" .)) .Values.scheduler.kubeScheduler.enabled -}}
{{- end -}}

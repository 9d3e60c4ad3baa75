{{/* Names, labels, images: what objects are called and where their containers come from. */}}

{{- define "cardinal.name" -}}
{{- .Values.nameOverride | default (ternary "hami" "cardinal" .Values.compatibility.hamiNames) | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "cardinal.full" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "cardinal.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "cardinal.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "cardinal.scheduler" -}}{{ include "cardinal.full" . }}-scheduler{{- end -}}
{{- define "cardinal.namespace" -}}{{ .Values.namespaceOverride | default .Release.Namespace }}{{- end -}}

{{- define "cardinal.account" -}}
{{- .Values.serviceAccount.name | default (include "cardinal.scheduler" .) -}}
{{- end -}}

{{/* cardinald's: the pod's own where there is no kube-scheduler beside it, or where both share one. */}}
{{- define "cardinal.extenderAccount" -}}
{{- if eq (include "cardinal.ownAccount" .) "true" -}}
{{- .Values.serviceAccount.extenderName | default (printf "%s-cardinald" (include "cardinal.scheduler" .)) -}}
{{- else -}}
{{- include "cardinal.account" . -}}
{{- end -}}
{{- end -}}

{{- define "cardinal.ownAccount" -}}
{{- and .Values.scheduler.kubeScheduler.enabled (not .Values.serviceAccount.shared) -}}
{{- end -}}

{{- define "cardinal.selector" -}}
app.kubernetes.io/component: hami-scheduler
app.kubernetes.io/name: {{ include "cardinal.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "cardinal.labels" -}}
{{ include "cardinal.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: cardinal
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- /* what selectors and other objects go by stays the chart's */}}
{{- with omit .Values.global.labels "app.kubernetes.io/component" "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "app.kubernetes.io/part-of" "helm.sh/chart" }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* (dict "root" $ "image" .Values.….image "tag" "the default" "ours" what stands here where HAMi's own image is named) */}}
{{- define "cardinal.image" -}}
{{- $registry := .image.registry -}}
{{- $repository := .image.repository -}}
{{- $tag := .image.tag -}}
{{- $digest := .image.digest -}}
{{- if and .ours (eq $repository "projecthami/hami") -}}
{{- $repository = .ours.repository -}}
{{- $registry = ternary .ours.registry $registry (eq $registry "docker.io") -}}
{{- $tag = "" -}}
{{- $digest = "" -}}
{{- end -}}
{{- $registry = .root.Values.global.imageRegistry | default $registry -}}
{{- $name := $repository -}}
{{- with $registry -}}{{- $name = printf "%s/%s" (trimSuffix "/" .) $repository -}}{{- end -}}
{{- if $digest -}}
{{- printf "%s@%s" $name $digest -}}
{{- else -}}
{{- printf "%s:%s" $name ($tag | default .tag) -}}
{{- end -}}
{{- end -}}

{{/* Whole files of HAMi's values are passed on, with HAMi's image in them; that has another program in it, and other tags. */}}
{{- define "cardinal.extenderImage" -}}
{{- $ours := dict "registry" "ghcr.io" "repository" "cardinal-scheduler/cardinald" -}}
{{- include "cardinal.image" (dict "root" . "image" .Values.scheduler.extender.image "tag" .Chart.AppVersion "ours" $ours) -}}
{{- end -}}

{{/* kube-scheduler is of the cluster's own version; what a distribution appends to it is no tag of the registry's. */}}
{{- define "cardinal.kubeSchedulerImage" -}}
{{- $tag := regexFind "^v[0-9]+[.][0-9]+[.][0-9]+" .Capabilities.KubeVersion.Version -}}
{{- include "cardinal.image" (dict "root" . "image" .Values.scheduler.kubeScheduler.image "tag" $tag) -}}
{{- end -}}

{{/* Whether it has /livez and /readyz, which came with 1.31: by its own tag. A digest says nothing of it; all have /healthz. */}}
{{- define "cardinal.kubeSchedulerIsNew" -}}
{{- $image := .Values.scheduler.kubeScheduler.image -}}
{{- $version := regexFind "^v?1[.][0-9]+" (toString $image.tag) -}}
{{- if not (or $image.tag $image.digest) -}}
{{- $version = regexFind "^v?[0-9]+[.][0-9]+" .Capabilities.KubeVersion.Version -}}
{{- end -}}
{{- and $version (semverCompare ">=1.31-0" $version) | default false -}}
{{- end -}}

{{- define "cardinal.pullSecrets" -}}
{{- $names := list -}}
{{- $lists := list .Values.global.imagePullSecrets .Values.scheduler.extender.image.pullSecrets -}}
{{- if .Values.scheduler.kubeScheduler.enabled -}}
{{- $lists = append $lists .Values.scheduler.kubeScheduler.image.pullSecrets -}}
{{- end -}}
{{- range $lists -}}
{{- range . -}}
{{- $names = append $names (kindIs "map" . | ternary (dict "name" (get (kindIs "map" . | ternary . dict) "name")) (dict "name" .)) -}}
{{- end -}}
{{- end -}}
{{- with uniq $names -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

{{/* ---- numbers that several objects must agree on ---- */}}

{{- define "cardinal.replicas" -}}
{{- if kindIs "invalid" .Values.scheduler.replicas -}}
{{- ternary 2 1 .Values.scheduler.leaderElect -}}
{{- else -}}
{{- .Values.scheduler.replicas -}}
{{- end -}}
{{- end -}}

{{- define "cardinal.metricsPort" -}}{{ regexFind "[0-9]+$" .Values.scheduler.metricsBindAddress }}{{- end -}}
{{- define "cardinal.extenderPort" -}}
{{- .Values.scheduler.kubeScheduler.enabled | ternary 8080 .Values.scheduler.remote.port -}}
{{- end -}}
{{- define "cardinal.webhookPort" -}}9443{{- end -}}

{{/* A number that came from a file is a float, which prints large ones as 1e+06. A part of the whole (50%) stays text. */}}
{{- define "cardinal.countOrPart" -}}
{{- if kindIs "string" . -}}{{ quote . }}{{- else -}}{{ int64 . }}{{- end -}}
{{- end -}}

{{/* A duration of the schema's form (10s, 1500ms, 1m30s) in milliseconds. */}}
{{- define "cardinal.ms" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+(ms|s|m|h|d)" . -1 -}}
{{- $sum = add $sum (mul (regexFind "[0-9]+" . | int64) (get $units (regexFind "[a-z]+" .))) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/* What kube-scheduler waits for a verb: a bind ends with an answer before it. */}}
{{- define "cardinal.httpTimeout" -}}
{{- $other := printf "%dms" (add (include "cardinal.ms" .Values.scheduler.bindTimeout | int64) 5000) | replace "000ms" "s" -}}
{{- .Values.scheduler.httpTimeout | default $other -}}
{{- end -}}

{{- define "cardinal.yes" -}}{{ eq (toString .) "true" }}{{- end -}}

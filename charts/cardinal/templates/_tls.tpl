{{/* Which certificates, under which names. */}}

{{- define "cardinal.tlsMode" -}}
{{- .Values.tls.mode | default (ternary "certManager" "chart" .Values.scheduler.certManager.enabled) -}}
{{- end -}}

{{/* Whether anything of ours serves TLS. */}}
{{- define "cardinal.tls" -}}
{{- or .Values.scheduler.admissionWebhook.enabled (not .Values.scheduler.kubeScheduler.enabled) -}}
{{- end -}}

{{- define "cardinal.tlsSecret" -}}
{{- if eq (include "cardinal.tlsMode" .) "existingSecret" -}}
{{- .Values.tls.existingSecret.name -}}
{{- else -}}
{{- include "cardinal.scheduler" . }}-serving
{{- end -}}
{{- end -}}

{{/* Whether a remote kube-scheduler's certificate is ours to make, and not of an authority that is given. */}}
{{- define "cardinal.ownClient" -}}
{{- and (not .Values.scheduler.kubeScheduler.enabled) (not .Values.scheduler.remote.clientCA.existingSecret) -}}
{{- end -}}

{{/* The Secret that a remote kube-scheduler's files come from, and the one with the authority that it is checked with. */}}
{{- define "cardinal.clientSecret" -}}{{ include "cardinal.scheduler" . }}-client{{- end -}}

{{- define "cardinal.clientCA" -}}
{{- $given := .Values.scheduler.remote.clientCA -}}
{{- if $given.existingSecret -}}
{{- toYaml (dict "secret" $given.existingSecret "key" $given.key) -}}
{{- else -}}
{{- toYaml (dict "secret" (ternary (include "cardinal.tlsSecret" .) (include "cardinal.clientSecret" .) (eq (include "cardinal.tlsMode" .) "chart")) "key" "ca.crt") -}}
{{- end -}}
{{- end -}}

{{/* Names that the serving certificate must have. */}}
{{- define "cardinal.dnsNames" -}}
{{- $ns := include "cardinal.namespace" . -}}
{{- $names := list -}}
{{- $services := list (include "cardinal.scheduler" .) -}}
{{- if not .Values.scheduler.kubeScheduler.enabled -}}
{{- $services = append $services (printf "%s-verbs" (include "cardinal.scheduler" .)) -}}
{{- end -}}
{{- range $services -}}
{{- $names = concat $names (list (printf "%s.%s.svc" . $ns) (printf "%s.%s.svc.%s" . $ns $.Values.clusterDomain)) -}}
{{- end -}}
{{- $host := .Values.scheduler.admissionWebhook.customURL.host -}}
{{- if and .Values.scheduler.admissionWebhook.customURL.enabled (not (include "cardinal.isAddress" $host)) -}}
{{- $names = append $names $host -}}
{{- end -}}
{{- join "\n" $names -}}
{{- end -}}

{{- define "cardinal.ipAddresses" -}}
{{- $custom := .Values.scheduler.admissionWebhook.customURL -}}
{{- if and $custom.enabled (include "cardinal.isAddress" $custom.host) -}}{{ $custom.host }}{{- end -}}
{{- end -}}

{{- define "cardinal.isAddress" -}}{{ regexFind "^([0-9]{1,3}([.][0-9]{1,3}){3}|.*:.*)$" . }}{{- end -}}

{{/* Certificates by Helm: kept while they hold and are for the right names; else new ones, and what checks them knows the
old authority as well until that ends, so that nobody fails while files and configuration change. The authority's key
is nowhere kept: new certificates have a new authority. Result (YAML): ca, cert, key, clientCert, clientKey, annotations. */}}
{{- define "cardinal.chartCertificates" -}}
{{- $ns := include "cardinal.namespace" . -}}
{{- /* genSignedCert takes lists of anything, not lists of text */ -}}
{{- $names := concat (splitList "\n" (include "cardinal.dnsNames" .)) list -}}
{{- $ips := without (list (include "cardinal.ipAddresses" .)) "" -}}
{{- $remote := not .Values.scheduler.kubeScheduler.enabled -}}
{{- $own := eq (include "cardinal.ownClient" .) "true" -}}
{{- $for := printf "%s %t" (concat $names $ips | join " ") $remote | sha256sum | trunc 16 -}}
{{- $old := lookup "v1" "Secret" $ns (include "cardinal.tlsSecret" .) -}}
{{- $client := lookup "v1" "Secret" $ns (include "cardinal.clientSecret" .) -}}
{{- $notes := dig "metadata" "annotations" dict $old | default dict -}}
{{- $now := now | unixEpoch | int64 -}}
{{- $complete := and $old (get $old "data") (or (not $own) (and $client (get $client "data"))) -}}
{{- if and $complete (eq (get $notes "cardinal.io/made-for") $for) (lt $now (get $notes "cardinal.io/renew-from" | int64)) -}}
{{- $d := dict "annotations" (pick $notes "cardinal.io/made-for" "cardinal.io/renew-from" "cardinal.io/ends-at") -}}
{{- $_ := set $d "ca" (index $old.data "ca.crt" | b64dec) -}}
{{- $_ := set $d "cert" (index $old.data "tls.crt" | b64dec) -}}
{{- $_ := set $d "key" (index $old.data "tls.key" | b64dec) -}}
{{- if $own -}}
{{- $_ := set $d "clientCert" (index $client.data "tls.crt" | b64dec) -}}
{{- $_ := set $d "clientKey" (index $client.data "tls.key" | b64dec) -}}
{{- end -}}
{{- toYaml $d -}}
{{- else -}}
{{- $days := .Values.tls.chart.validityDays | int -}}
{{- $end := add $now (mul $days 86400) -}}
{{- $ca := genCA (printf "%s authority" (include "cardinal.scheduler" .) | trunc 63) $days -}}
{{- $leaf := genSignedCert (index $names 0 | trunc 63) $ips $names $days $ca -}}
{{- $known := $ca.Cert -}}
{{- if and $old (gt (get $notes "cardinal.io/ends-at" | int64) $now) -}}
{{- $known = printf "%s\n%s\n" (trim $known) (regexFind "(?s)-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----" (index $old.data "ca.crt" | b64dec)) -}}
{{- end -}}
{{- $d := dict "ca" $known "cert" $leaf.Cert "key" $leaf.Key -}}
{{- $_ := set $d "annotations" (dict "cardinal.io/made-for" $for "cardinal.io/ends-at" (toString $end) "cardinal.io/renew-from" (sub $end (mul (.Values.tls.chart.renewBeforeDays | int) 86400) | toString)) -}}
{{- if $own -}}
{{- $peer := genSignedCert "kube-scheduler" list list $days $ca -}}
{{- $_ := set $d "clientCert" $peer.Cert -}}
{{- $_ := set $d "clientKey" $peer.Key -}}
{{- end -}}
{{- toYaml $d -}}
{{- end -}}
{{- end -}}

{{/* Values that contradict each other, or that can't be had. All of them are told at once; a line begins with the name by
which the suites know it, and says what to do. */}}
{{- define "cardinal.refusals" -}}
{{- $s := .Values.scheduler -}}
{{- $beside := $s.kubeScheduler.enabled -}}
{{- $device := index .Values "device-config" -}}
{{- $mode := include "cardinal.tlsMode" . -}}

{{- if not .Values.enabled }}
[not-enabled] enabled is false, and the chart is rendered: it is for the condition of a parent chart (condition: cardinal.enabled in its dependencies); give it that, or leave the value out
{{- end }}

{{- $full := include "cardinal.full" . }}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $full) }}
[service-name] objects would be called {{ $full }}-…, and a Service's name is of small letters, digits and '-', and begins with a letter: set fullnameOverride, or another name of the release
{{- end }}

{{- /* ---- who leads ---- */}}
{{- if and (not $s.leaderElect) (gt (include "cardinal.replicas" . | int) 1) }}
[replicas-without-election] scheduler.replicas is {{ $s.replicas }} and scheduler.leaderElect is false: several would give the same cards away; set replicas to 1, or elect a leader
{{- end }}
{{- if and (not $s.leaderElect) $s.strategy (ne (get $s.strategy "type") "Recreate") }}
[two-for-a-while] scheduler.leaderElect is false and scheduler.strategy is not Recreate: an upgrade would have the old one and the new one give the same cards away; leave the strategy out
{{- end }}
{{- if and $beside (eq .Values.schedulerName "default-scheduler") }}
[name-of-another] schedulerName is default-scheduler, which is the cluster's own kube-scheduler: both would bind the same pods; leave it out, or have that one call cardinald with scheduler.kubeScheduler.enabled=false
{{- end }}
{{- $claimed := dict "scheduler-name" "schedulerName" "scheduler-config-file" "scheduler.kubeScheduler.config" "device-config-file" "device-config" "vendor-file" "vendorFiles" "enable-ascend" "devices.ascend.enabled" "enable-iluvatar" "devices.iluvatar.enabled" "node-label-selector" "scheduler.nodeLabelSelector" "listen-extender" "scheduler.remote" "extender-tls" "scheduler.remote" "extender-url" "scheduler.remote.url" "http_bind" "scheduler.remote" "listen-webhook" "scheduler.admissionWebhook" "cert_file" "tls" "key_file" "tls" "client-ca-file" "scheduler.remote.clientCA" "metrics-bind-address" "scheduler.metricsBindAddress" "node-scheduler-policy" "scheduler.defaultSchedulerPolicy" "gpu-scheduler-policy" "scheduler.defaultSchedulerPolicy" "force-overwrite-default-scheduler" "scheduler.forceOverwriteDefaultScheduler" "bind-timeout" "scheduler.bindTimeout" "score-max" "scheduler.scoreMax" "node-lock-timeout" "scheduler.nodeLockExpire" "adopt-unbound" "scheduler.adoptUnbound" "leader-elect" "scheduler.leaderElect" "leader-elect-mode" "scheduler.kubeScheduler.enabled: beside kube-scheduler its Lease is followed, for one elsewhere cardinald has its own" "leader-elect-resource-name" "schedulerName" "leader-elect-resource-namespace" "namespaceOverride" "leader-elect-role-label" "scheduler.leaderElect" "legacy-metrics" "legacyMetrics" "kubeconfig" "serviceAccount" "cluster" "a cardinald outside of a cluster" -}}
{{- range $s.extender.extraArgs }}
{{- $flag := regexReplaceAll "^-{1,2}([^= ]*).*" . "${1}" -}}
{{- if hasKey $claimed $flag }}
[flag-of-the-chart] scheduler.extender.extraArgs has {{ . }}, which the chart sets itself, so that it fits the other objects: use {{ get $claimed $flag }}
{{- end }}
{{- end }}
{{- range without $s.kubeScheduler.extraNewArgs "--config=/config/config.yaml" }}
{{- if regexMatch "^-{1,2}(config|leader-elect.*|secure-port|bind-address|kubeconfig|authentication-kubeconfig|authorization-kubeconfig)(=.*)?$" . }}
[kube-scheduler-flag-of-the-chart] scheduler.kubeScheduler.extraNewArgs has {{ . }}, which the chart sets or relies on: use schedulerName, scheduler.leaderElect, scheduler.kubeScheduler.config or .profile
{{- end }}
{{- end }}

{{- /* ---- what both sides must agree on ---- */}}
{{- $bind := include "cardinal.ms" $s.bindTimeout | int64 }}
{{- $http := include "cardinal.ms" (include "cardinal.httpTimeout" .) | int64 }}
{{- if ge $bind $http }}
[bind-timeout] scheduler.bindTimeout ({{ $s.bindTimeout }}) is not below scheduler.httpTimeout ({{ $s.httpTimeout }}): kube-scheduler would give binds up that are still under way; lower the first, or leave the second empty
{{- end }}
{{- if or (lt $bind 200) (gt $bind 600000) }}
[bind-timeout-bounds] scheduler.bindTimeout is {{ $s.bindTimeout }}; cardinald takes 200ms to 10m
{{- end }}
{{- range list "profiles" "extenders" "leaderElection" "apiVersion" "kind" }}
{{- if hasKey $s.kubeScheduler.config . }}
[config-of-the-chart] scheduler.kubeScheduler.config has {{ . }}, which the chart writes so that it fits cardinald: scheduler.kubeScheduler.profile adds to the profile
{{- end }}
{{- end }}
{{- range list "schedulerName" "percentageOfNodesToScore" }}
{{- if hasKey $s.kubeScheduler.profile . }}
[profile-of-the-chart] scheduler.kubeScheduler.profile has {{ . }}: use schedulerName, scheduler.percentageOfNodesToScore
{{- end }}
{{- end }}
{{- if not $beside }}
{{- if or $s.kubeScheduler.config $s.kubeScheduler.profile }}
[config-of-another] scheduler.kubeScheduler.config and .profile are for the kube-scheduler of this chart, which scheduler.kubeScheduler.enabled switches off: write them into the configuration of yours
{{- end }}
{{- if and $s.remote.url (not (hasPrefix "https://" $s.remote.url)) }}
[remote-url] scheduler.remote.url is {{ $s.remote.url }}: the verbs are served with TLS only; it begins with https://
{{- end }}
{{- if and (eq $mode "existingSecret") (not $s.remote.clientCA.existingSecret) }}
[client-ca] tls.mode is existingSecret and scheduler.kubeScheduler.enabled is false: name the authority of kube-scheduler's client certificate in scheduler.remote.clientCA.existingSecret
{{- end }}
{{- if .Values.serviceAccount.shared }}
[shared-account] serviceAccount.shared is for the pod with two containers; with scheduler.kubeScheduler.enabled=false there is one: leave it false
{{- end }}
{{- end }}

{{- /* ---- accounts ---- */}}
{{- $account := .Values.serviceAccount }}
{{- if and (eq (include "cardinal.ownAccount" .) "true") (eq (include "cardinal.account" .) (include "cardinal.extenderAccount" .)) }}
[equal-accounts] kube-scheduler and cardinald would both have the account {{ include "cardinal.account" . }}: give serviceAccount.name and .extenderName different names, or set serviceAccount.shared
{{- end }}
{{- if and $account.extenderName (ne (include "cardinal.ownAccount" .) "true") }}
[account-of-nobody] serviceAccount.extenderName is {{ $account.extenderName }}, and {{ ternary "serviceAccount.shared is true" "scheduler.kubeScheduler.enabled is false" $beside }}: there is one account, of serviceAccount.name; leave the other name out
{{- end }}

{{- /* ---- certificates ---- */}}
{{- if and .Values.tls.mode (ne .Values.tls.mode "certManager") $s.certManager.enabled }}
[two-tls-modes] tls.mode is {{ .Values.tls.mode }} and scheduler.certManager.enabled is true: choose one
{{- end }}
{{- if and (ne $mode "existingSecret") (or .Values.tls.existingSecret.name .Values.tls.existingSecret.caBundle) }}
[unused-secret] tls.existingSecret is given and tls.mode is {{ $mode }}: set tls.mode to existingSecret, or leave it out
{{- end }}
{{- if and (eq $mode "existingSecret") (not .Values.tls.existingSecret.name) }}
[no-secret] tls.mode is existingSecret: name the Secret in tls.existingSecret.name
{{- end }}
{{- if and (eq $mode "existingSecret") $s.admissionWebhook.enabled (not .Values.tls.existingSecret.caBundle) }}
[no-ca-bundle] tls.mode is existingSecret: give the authority (PEM) that signed it in tls.existingSecret.caBundle, or the API server can't check the webhook
{{- end }}
{{- if le (.Values.tls.chart.validityDays | int) (.Values.tls.chart.renewBeforeDays | int) }}
[renewed-at-once] tls.chart.renewBeforeDays ({{ .Values.tls.chart.renewBeforeDays }}) is not below tls.chart.validityDays ({{ .Values.tls.chart.validityDays }}): every upgrade would make new certificates
{{- end }}

{{- if eq $mode "certManager" }}
{{- $cm := .Values.tls.certManager }}
{{- if ge (include "cardinal.ms" $cm.renewBefore | int64) (include "cardinal.ms" $cm.duration | int64) }}
[renewed-always] tls.certManager.renewBefore ({{ $cm.renewBefore }}) is not below tls.certManager.duration ({{ $cm.duration }}), which cert-manager refuses: lower the one or raise the other
{{- end }}
{{- if and $cm.issuerRef (not $cm.issuerRef.name) }}
[issuer-without-name] tls.certManager.issuerRef has no name: name the issuer, or leave it out for an authority of the release's own
{{- end }}
{{- end }}

{{- /* ---- listeners ---- */}}
{{- $port := include "cardinal.metricsPort" . }}
{{- if not (regexMatch "^([^:]*|\\[[0-9a-fA-F:]+\\]):[0-9]+$" $s.metricsBindAddress) }}
[metrics-address] scheduler.metricsBindAddress is {{ $s.metricsBindAddress | quote }}: it is HOST:PORT, or :PORT for all addresses
{{- else if regexMatch "^(127[.]|localhost|\\[::1\\])" $s.metricsBindAddress }}
[metrics-loopback] scheduler.metricsBindAddress is {{ $s.metricsBindAddress }}: the kubelet's probes come from outside of the pod; use :{{ $port }}
{{- else if or (lt ($port | int) 1024) (gt ($port | int) 65535) }}
[metrics-port] scheduler.metricsBindAddress is {{ $s.metricsBindAddress }}: the port is from 1024 to 65535, since cardinald is not root
{{- end }}
{{- $ports := list $port "10259" (include "cardinal.extenderPort" .) (include "cardinal.webhookPort" .) }}
{{- if ne (len $ports) (len (uniq $ports)) }}
[port-taken] scheduler.metricsBindAddress ({{ $port }}), the verbs ({{ include "cardinal.extenderPort" . }}), the webhook (9443) and kube-scheduler (10259) need ports of their own
{{- end }}
{{- if and $s.admissionWebhook.customURL.enabled (not $s.admissionWebhook.enabled) }}
[url-without-webhook] scheduler.admissionWebhook.customURL.enabled is true and scheduler.admissionWebhook.enabled is false: choose one
{{- end }}
{{- $url := $s.admissionWebhook.customURL }}
{{- if and $url.enabled (not $url.host) }}
[url-without-host] scheduler.admissionWebhook.customURL.enabled is true and its host is empty: name the host that the API server calls
{{- end }}
{{- if and $url.enabled (eq $s.service.type "ClusterIP") (eq ($url.port | int) ($s.service.schedulerPort | int)) }}
[url-without-node-port] scheduler.admissionWebhook.customURL.port is {{ $url.port }}, the webhook's node port, and scheduler.service.type is ClusterIP, which has none: set scheduler.service.type to NodePort, or customURL.port to where something of yours passes it on
{{- end }}
{{- if and $s.admissionWebhook.extraMatchConditions (not $s.admissionWebhook.matchConditions) }}
[conditions-off] scheduler.admissionWebhook.extraMatchConditions are given and scheduler.admissionWebhook.matchConditions is false: choose one
{{- end }}
{{- if and (not $s.admissionWebhook.manageNamespaceSelector) (or $s.admissionWebhook.whitelistNamespaces (get ($s.admissionWebhook.namespaceSelector | default dict) "matchLabels") (get ($s.admissionWebhook.namespaceSelector | default dict) "matchExpressions")) }}
[selector-of-another] scheduler.admissionWebhook.whitelistNamespaces or .namespaceSelector is given and manageNamespaceSelector is false: the chart then writes no namespaceSelector; choose one
{{- end }}
{{- if and $s.admissionWebhook.enabled (eq (int $s.service.httpPort) (int $s.service.monitorPort)) }}
[service-port-twice] scheduler.service.httpPort and .monitorPort are both {{ $s.service.httpPort }}: webhook and metrics need ports of their own on the Service
{{- end }}
{{- if and $s.admissionWebhook.enabled (ne $s.service.type "ClusterIP") (eq (int $s.service.schedulerPort) (int $s.service.monitorPort)) }}
[node-port-twice] scheduler.service.schedulerPort and .monitorPort are both {{ $s.service.schedulerPort }}: with type {{ $s.service.type }} they are the node ports of webhook and metrics, and need to differ
{{- end }}
{{- $replicas := include "cardinal.replicas" . | int }}
{{- if and $s.podDisruptionBudget.enabled (gt $replicas 1) }}
{{- $min := $s.podDisruptionBudget.minAvailable }}
{{- if kindIs "invalid" $min }}
{{- if regexMatch "^0+%?$" (toString $s.podDisruptionBudget.maxUnavailable) }}
[budget-of-nothing] scheduler.podDisruptionBudget.maxUnavailable is {{ $s.podDisruptionBudget.maxUnavailable }}: no node could be drained; set at least 1, or switch the budget off
{{- end }}
{{- else }}
{{- /* parts are rounded up: 51% of 2 are both */}}
{{- $needed := ternary (div (add (mul (toString $min | trimSuffix "%" | int64) $replicas) 99) 100) (toString $min | int64) (hasSuffix "%" (toString $min)) }}
{{- if ge $needed (int64 $replicas) }}
[budget-blocks-drains] scheduler.podDisruptionBudget.minAvailable ({{ $min }}) asks for all of {{ $replicas }} replicas: no node could be drained; set less
{{- end }}
{{- end }}
{{- end }}

{{- /* ---- monitoring ---- */}}
{{- include "cardinal.monitoring.refusals" . }}

{{- /* ---- which resources ---- */}}
{{- if and $device.content $device.existingConfigMap }}
[two-device-configs] device-config.content and device-config.existingConfigMap are both given: choose one
{{- end }}
{{- if and $device.managedResources (not $device.existingConfigMap) }}
[resources-of-another] device-config.managedResources is for device-config.existingConfigMap; else the names are read from the device configuration: leave it out
{{- end }}
{{- $text := include "cardinal.deviceConfig" . | default (include "cardinal.existingDeviceConfig" .) }}
{{- if and $device.existingConfigMap (not $text) (not $device.managedResources) }}
[unknown-resources] ConfigMap {{ include "cardinal.namespace" . }}/{{ $device.existingConfigMap }} can't be read while rendering, or has no device-config.yaml: list its resource names in device-config.managedResources
{{- end }}
{{- $config := fromYaml $text }}
{{- if $config.Error }}
[device-config-broken] the device configuration is no YAML map: {{ $config.Error | replace "\n" " " }}
{{- end }}
{{- range list "kunlun" "enflame" "mthreads" "vastai" "biren" }}
{{- if and (not (get $.Values.devices .).enabled) (get $config .) }}
[device-off-and-on] devices.{{ . }}.enabled is false and the given device configuration has a section {{ . }}: choose one
{{- end }}
{{- end }}
{{- range $file, $text := .Values.vendorFiles }}
{{- if not (regexMatch "^[A-Za-z0-9][A-Za-z0-9._-]*$" $file) }}
[vendor-file-name] vendorFiles has {{ $file | quote }}: file names are of letters, digits, '.', '_' and '-'
{{- end }}
{{- $vendors := fromYaml $text }}
{{- if or $vendors.Error (not (kindIs "slice" $vendors.vendors)) }}
[vendor-file-broken] vendorFiles.{{ $file }} is no YAML map with a list "vendors" (docs/operations/add-a-vendor.md)
{{- end }}
{{- end }}
{{- $names := without (splitList "\n" (include "cardinal.managedResources" .)) "" }}
{{- if and (not $names) (not $config.Error) (or $text $device.managedResources) }}
[no-resources] the device configuration names no resource that could be asked for
{{- end }}
{{- range $names }}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$" .) }}
[resource-name] {{ . | quote }} is no name of a resource: it has a domain and a name, as example.com/gpu
{{- end }}
{{- end }}
{{- if eq (include "cardinal.deviceConfigOf" .) "values" }}
{{- $seen := dict }}
{{- range splitList "\n" (include "cardinal.namesIn" $config | trim) }}
{{- if hasKey $seen . }}
[resource-twice] two values name the resource {{ . }}, which cardinald refuses: each needs a name of its own
{{- end }}
{{- $_ := set $seen . true }}
{{- end }}
{{- range $section, $of := $config }}
{{- range $key, $name := kindIs "map" $of | ternary $of dict }}
{{- if and (has $key (list "resourceCountName" "resourceVCountName")) (not $name) (ne (printf "%s.%s" $section $key) "kunlun.resourceCountName") }}
[no-resource-name] the value for {{ $section }}.{{ $key }} of the device configuration is null: nobody could ask for such a card; name its resource, or leave the value out
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- include "cardinal.hamiRefused" . }}
{{- end -}}

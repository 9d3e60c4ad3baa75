{{/* The device configuration that cardinald, kube-scheduler and the node plugins must agree on, and the names in it. */}}

{{/* In which order: a ConfigMap that is not ours, content, a file in the chart, what the values say. */}}
{{- define "cardinal.deviceConfigOf" -}}
{{- $given := index .Values "device-config" -}}
{{- if $given.existingConfigMap -}}another
{{- else if $given.content -}}content
{{- else if .Files.Get "files/device-config.yaml" -}}file
{{- else -}}values
{{- end -}}
{{- end -}}

{{/* The text. Empty: a ConfigMap that is not ours. */}}
{{- define "cardinal.deviceConfig" -}}
{{- $of := include "cardinal.deviceConfigOf" . -}}
{{- if eq $of "content" -}}
{{- (index .Values "device-config").content -}}
{{- else if eq $of "file" -}}
{{- .Files.Get "files/device-config.yaml" -}}
{{- else if eq $of "values" -}}
{{- include "cardinal.deviceConfigFromValues" . -}}
{{- end -}}
{{- end -}}

{{- define "cardinal.deviceConfigMap" -}}
{{- (index .Values "device-config").existingConfigMap | default (printf "%s-device" (include "cardinal.scheduler" .)) -}}
{{- end -}}

{{/* The text of the ConfigMap in the cluster, where it is not ours and the cluster can be asked. */}}
{{- define "cardinal.existingDeviceConfig" -}}
{{- with (index .Values "device-config").existingConfigMap -}}
{{- $map := lookup "v1" "ConfigMap" (include "cardinal.namespace" $) . -}}
{{- get (get $map "data" | default dict) "device-config.yaml" -}}
{{- end -}}
{{- end -}}

{{- define "cardinal.deviceConfigFromValues" -}}
{{- $v := .Values -}}
{{- $hide := eq (include "cardinal.yes" $v.scheduler.overwriteEnv) "true" -}}
nvidia:
  resourceCountName: {{ $v.resourceName | quote }}
  resourceMemoryName: {{ $v.resourceMem | quote }}
  resourceMemoryPercentageName: {{ $v.resourceMemPercentage | quote }}
  resourceCoreName: {{ $v.resourceCores | quote }}
  resourcePriorityName: {{ $v.resourcePriority | quote }}
  overwriteEnv: {{ $hide }}
  defaultMemory: 0
  defaultCores: 0
  defaultGPUNum: 1
  memoryFactor: 1
  deviceSplitCount: {{ $v.devicePlugin.deviceSplitCount | int64 }}
  deviceMemoryScaling: {{ $v.devicePlugin.deviceMemoryScaling }}
  deviceCoreScaling: {{ $v.devicePlugin.deviceCoreScaling }}
  preConfiguredDeviceMemory: {{ $v.devicePlugin.preConfiguredDeviceMemory | int64 }}
  enableNumaTopology: {{ $v.devicePlugin.enableNumaTopology }}
  gpuCorePolicy: {{ $v.devices.nvidia.gpuCorePolicy | quote }}
  libCudaLogLevel: {{ $v.devices.nvidia.libCudaLogLevel }}
  runtimeClassName: {{ $v.devicePlugin.runtimeClassName | quote }}
  migProfileAllowlist:
  - {models: [A30], profiles: [1g.6gb, 2g.12gb, 4g.24gb]}
  - {models: [A100-SXM4-40GB, A100-40GB-PCIe, A100-PCIE-40GB], profiles: [1g.5gb, 2g.10gb, 3g.20gb, 7g.40gb]}
  - {models: [A100-SXM4-80GB, A100-80GB-PCIe, A100-PCIE-80GB], profiles: [1g.10gb, 2g.20gb, 3g.40gb, 7g.79gb]}
  - {models: [H100-PCIE-80GB, H100-SXM5-80GB], profiles: [1g.10gb, 2g.20gb, 3g.40gb, 7g.80gb]}
  - {models: [H100-PCIE-94GB, H100-SXM5-94GB], profiles: [1g.12gb, 2g.24gb, 3g.47gb, 7g.94gb]}
  - {models: [H20, H100 on GH200], profiles: [1g.12gb, 2g.24gb, 3g.48gb, 7g.96gb]}
  - {models: [H200 NVL, H200-SXM5], profiles: [1g.18gb, 2g.35gb, 3g.71gb, 7g.141gb]}
  - {models: [B200], profiles: [1g.23gb, 2g.45gb, 3g.90gb, 7g.180gb]}
  - {models: [RTX PRO 6000 Blackwell Server Edition], profiles: [1g.24gb, 2g.48gb, 4g.96gb]}
cambricon:
  resourceCountName: {{ $v.mluResourceName | quote }}
  resourceMemoryName: {{ $v.mluResourceMem | quote }}
  resourceCoreName: {{ $v.mluResourceCores | quote }}
hygon:
  resourceCountName: {{ $v.dcuResourceName | quote }}
  resourceMemoryName: {{ $v.dcuResourceMem | quote }}
  resourceCoreName: {{ $v.dcuResourceCores | quote }}
  memoryFactor: 1
metax:
  resourceCountName: metax-tech.com/gpu
  resourceVCountName: {{ $v.metaxResourceName | quote }}
  resourceVMemoryName: {{ $v.metaxResourceMem | quote }}
  resourceVCoreName: {{ $v.metaxResourceCore | quote }}
  sgpuTopologyAware: {{ include "cardinal.yes" $v.metaxsGPUTopologyAware }}
{{- if $v.devices.enflame.enabled }}
enflame:
  resourceNameGCU: enflame.com/gcu
  resourceNameDRSGCU: {{ $v.enflameResourceNameDRSGCU | quote }}
  resourceNameGCUMemory: {{ $v.enflameResourceNameGCUMemory | quote }}
  resourceNameGCUCore: {{ $v.enflameResourceNameGCUCore | quote }}
{{- end }}
{{- if $v.devices.mthreads.enabled }}
mthreads:
  resourceCountName: mthreads.com/vgpu
  resourceMemoryName: mthreads.com/sgpu-memory
  resourceCoreName: mthreads.com/sgpu-core
{{- end }}
iluvatars:
{{- range list "MR-V100" "MR-V50" "BI-V150" "BI-V100" }}
- chipName: {{ . }}
  commonWord: {{ . }}
  resourceCountName: iluvatar.ai/{{ . }}-vgpu
  resourceMemoryName: iluvatar.ai/{{ . }}.vMem
  resourceCoreName: iluvatar.ai/{{ . }}.vCore
{{- end }}
{{- if $v.devices.kunlun.enabled }}
kunlun:
  resourceCountName: {{ $v.kunlunResourceName | quote }}
  resourceVCountName: {{ $v.kunlunResourceVCountName | quote }}
  resourceVMemoryName: {{ $v.kunlunResourceVMemoryName | quote }}
{{- end }}
awsneuron:
  resourceCountName: aws.amazon.com/neuron
  resourceCoreName: aws.amazon.com/neuroncore
amd:
  resourceCountName: amd.com/gpu
  resourceMemoryName: amd.com/gpumem
  resourceCoreName: amd.com/gpucores
{{- if $v.devices.vastai.enabled }}
vastai:
  resourceCountName: {{ $v.vastaiResourceName | quote }}
{{- end }}
{{- if $v.devices.biren.enabled }}
biren:
  resourceCountName: {{ $v.birenResourceName | quote }}
{{- end }}
vnpus:
  hamiVnpuCore: {{ $v.devices.ascend.hamiVnpuCore }}
  configs:
{{- range fromYamlArray (include "cardinal.ascendChips" .) }}
  - chipName: {{ .chip }}
    commonWord: {{ .word }}
    resourceName: huawei.com/{{ .word }}
    resourceMemoryName: huawei.com/{{ .word }}-memory
    resourceCoreName: huawei.com/{{ .word }}-core
    memoryAllocatable: {{ .memory | int }}
    memoryCapacity: {{ .capacity | default .memory | int }}
    memoryFactor: 1
    aiCore: {{ .cores | int }}
    {{- with .cpus }}
    aiCPU: {{ . | int }}
    {{- end }}
    runtimeClassName: {{ $v.devices.ascend.runtimeClassName | quote }}
    overwriteEnv: {{ $hide }}
    {{- if .superPod }}
    superPod: true
    {{- end }}
    templates:
    {{- range .parts }}
    - {name: {{ index . 0 }}, memory: {{ index . 1 | int }}, aiCore: {{ index . 2 | int }}{{ if gt (len .) 3 }}, aiCPU: {{ index . 3 | int }}{{ end }}}
    {{- end }}
{{- end }}
{{- end -}}

{{/* Chips of Ascend and their templates: name, memory in MiB, cores, CPUs (the order decides which is found first). */}}
{{- define "cardinal.ascendChips" -}}
- {chip: 910A, word: Ascend910A, memory: 32768, cores: 30,
   parts: [[vir02, 2184, 2], [vir04, 4369, 4], [vir08, 8738, 8], [vir16, 17476, 16]]}
- {chip: 910B2, word: Ascend910B2, memory: 65536, cores: 24, cpus: 6,
   parts: [[vir03_1c_8g, 8192, 3, 1], [vir06_1c_16g, 16384, 6, 1], [vir12_3c_32g, 32768, 12, 3]]}
- {chip: 910B3, word: Ascend910B3, memory: 65536, cores: 20, cpus: 7,
   parts: [[vir05_1c_16g, 16384, 5, 1], [vir10_3c_32g, 32768, 10, 3]]}
- {chip: 910B4-1, word: Ascend910B4-1, memory: 65536, cores: 20, cpus: 7,
   parts: [[vir05_1c_16g, 16384, 5, 1], [vir10_3c_32g, 32768, 10, 3]]}
- {chip: 910B4, word: Ascend910B4, memory: 32768, cores: 20, cpus: 7,
   parts: [[vir05_1c_8g, 8192, 5, 1], [vir10_3c_16g, 16384, 10, 3]]}
- {chip: 310P3, word: Ascend310P, memory: 21527, capacity: 24576, cores: 8, cpus: 7,
   parts: [[vir01, 3072, 1, 1], [vir02, 6144, 2, 2], [vir04, 12288, 4, 4]]}
- {chip: Ascend910, word: Ascend910C, memory: 65536, cores: 20, cpus: 7, superPod: true,
   parts: [[vir05_1c_16g, 16384, 5, 1], [vir10_3c_32g, 32768, 10, 3]]}
{{- end -}}

{{/* ---- names ---- */}}

{{/* Every name below a key that begins with "resource", one a line: that is how all sections say them. */}}
{{- define "cardinal.namesIn" -}}
{{- if kindIs "map" . -}}
{{- range $key, $value := . -}}
{{- if and (hasPrefix "resource" $key) (kindIs "string" $value) -}}
{{- with $value }}{{ . }}
{{ end -}}
{{- else -}}
{{- include "cardinal.namesIn" $value -}}
{{- end -}}
{{- end -}}
{{- else if kindIs "slice" . -}}
{{- range . -}}{{- include "cardinal.namesIn" . -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Names of slices that an enflame section stands for where it does not say them (docs/vendors/enflame.md). */}}
{{- define "cardinal.enflameNames" -}}
{{- if not (or .resourceNameDRSGCU .resourceNameVGCU) }}enflame.com/drs-gcu
{{ end -}}
{{- if not .resourceNameGCUMemory }}enflame.com/gcu-memory
{{ end -}}
{{- if not .resourceNameGCUCore }}enflame.com/gcu-core
{{ end -}}
{{- end -}}

{{/* The resources that cardinald serves, one a line: from the very configuration that it reads. */}}
{{- define "cardinal.managedResources" -}}
{{- $given := index .Values "device-config" -}}
{{- $names := list -}}
{{- if $given.managedResources -}}
{{- $names = $given.managedResources -}}
{{- else -}}
{{- $text := include "cardinal.deviceConfig" . | default (include "cardinal.existingDeviceConfig" .) -}}
{{- $config := fromYaml $text -}}
{{- if not .Values.devices.ascend.enabled -}}{{- $config = omit $config "vnpus" -}}{{- end -}}
{{- if not .Values.devices.iluvatar.enabled -}}{{- $config = omit $config "iluvatars" -}}{{- end -}}
{{- $names = include "cardinal.namesIn" $config | trim | splitList "\n" -}}
{{- with $config.enflame -}}
{{- $names = concat $names (include "cardinal.enflameNames" . | trim | splitList "\n") -}}
{{- end -}}
{{- end -}}
{{- range $file, $text := .Values.vendorFiles -}}
{{- $vendors := fromYaml $text -}}
{{- if $vendors.replaceAll -}}{{- $names = list -}}{{- end -}}
{{- range kindIs "slice" $vendors.vendors | ternary $vendors.vendors list -}}
{{- if kindIs "map" . -}}
{{- range $what, $name := get . "resources" -}}{{- $names = append $names (toString $name) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- without $names "" | uniq | sortAlpha | join "\n" -}}
{{- end -}}

{{/* Annotations that vendor files name, beside those that all have in common: one a line. */}}
{{- define "cardinal.vendorKeys" -}}
{{- $keys := list -}}
{{- range $file, $text := .Values.vendorFiles -}}
{{- $vendors := (fromYaml $text).vendors -}}
{{- range kindIs "slice" $vendors | ternary $vendors list -}}
{{- if kindIs "map" . -}}
{{- with get . "pod" -}}
{{- $keys = concat $keys (list .toAllocate .allocated .slices) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- compact $keys | uniq | sortAlpha | join "\n" -}}
{{- end -}}

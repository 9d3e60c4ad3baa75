{{/* Values of HAMi's chart: files/hami-values.yaml says what becomes of each. */}}

{{/* (dict "values" .Values "path" "a.b"): JSON of the value, or nothing where there is none. */}}
{{- define "cardinal.valueAt" -}}
{{- $at := .values -}}
{{- $there := true -}}
{{- range splitList "." .path -}}
{{- if and $there (kindIs "map" $at) (hasKey $at .) -}}
{{- $at = get $at . -}}
{{- else -}}
{{- $there = false -}}
{{- end -}}
{{- end -}}
{{- if and $there (not (kindIs "invalid" $at)) -}}{{ toJson $at }}{{- end -}}
{{- end -}}

{{/* Entries whose value is given, and says something else than HAMi's default: lines of path, what becomes of it, text. */}}
{{- define "cardinal.hamiGiven" -}}
{{- $values := .Values -}}
{{- range (.Files.Get "files/hami-values.yaml" | fromYaml).entries -}}
{{- if ne .becomes "acts" -}}
{{- $is := include "cardinal.valueAt" (dict "values" $values "path" .path) -}}
{{- $default := ternary (toJson .default) "" (hasKey . "default") -}}
{{- $nothing := list "" "null" "{}" "[]" "\"\"" $default (trimAll "\"" $default) -}}
{{- if not (or (has $is $nothing) (has (trimAll "\"" $is) $nothing)) }}
- {{ dict "path" .path "becomes" .becomes "text" (.text | default "") "to" (.to | default "") | toJson }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "cardinal.hamiRefused" -}}
{{- range fromYamlArray (include "cardinal.hamiGiven" .) -}}
{{- if eq .becomes "refused" }}
[hami-value] {{ .path }}: {{ .text }}
{{- else if eq .becomes "same-as" }}
[hami-name] {{ .path }}: is called {{ .to }} here; set that
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What NOTES say: a text once, with all values that it is about. */}}
{{- define "cardinal.hamiNoted" -}}
{{- $texts := dict -}}
{{- range fromYamlArray (include "cardinal.hamiGiven" .) -}}
{{- if eq .becomes "noted" -}}
{{- $_ := set $texts .text (append (get $texts .text | default list) .path) -}}
{{- end -}}
{{- end -}}
{{- range $text, $paths := $texts }}
  {{ join ", " $paths }}:
    {{ $text }}
{{- end -}}
{{- end -}}

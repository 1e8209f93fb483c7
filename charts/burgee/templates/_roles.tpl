{{/* The rules of a role under roles/, which kustomize uses too. */}}
{{- define "burgee.rulesOf" -}}
{{- toYaml (fromYaml (.root.Files.Get (printf "roles/%s.yaml" .role))).rules -}}
{{- end }}

{{/* The subject of every binding. */}}
{{- define "burgee.subjects" -}}
- kind: ServiceAccount
  name: {{ include "burgee.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* The parts of the operator's role that the values grant, joined by blanks. files/routers.yaml says which provider needs which. */}}
{{- define "burgee.roleParts" -}}
{{- $provider := default "istio" .Values.meshProvider -}}
{{- $parts := list "controller" (ternary "configs" "credentials" .Values.configTracking.enabled) -}}
{{- $choices := list (list "daemonsets" "daemonSets" true) (list "keda" "keda" true) -}}
{{- range $role, $of := fromYaml (.Files.Get "files/routers.yaml") -}}
{{- $needed := has $provider $of.names -}}
{{- range $of.prefixes -}}
{{- $needed = or $needed (hasPrefix . $provider) -}}
{{- end -}}
{{- $choices = append $choices (list $role $role $needed) -}}
{{- end -}}
{{- range $choices -}}
{{- $value := get $.Values.rbac (index . 1) | toString -}}
{{- if not (has $value (list "true" "false" "auto")) -}}
{{- fail (printf "rbac.%s: %q is neither true, false nor auto" (index . 1) $value) -}}
{{- end -}}
{{- if or (eq $value "true") (and (eq $value "auto") (last .)) -}}
{{- $parts = append $parts (first .) -}}
{{- end -}}
{{- end -}}
{{- join " " $parts -}}
{{- end }}

{{/* The rules of all those parts. */}}
{{- define "burgee.operatorRules" -}}
{{- range $index, $part := splitList " " (include "burgee.roleParts" .) }}
{{- if $index }}{{ "\n" }}{{ end }}
{{- include "burgee.rulesOf" (dict "root" $ "role" $part) }}
{{- end }}
{{- end }}

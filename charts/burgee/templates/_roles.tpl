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

{{- define "loadtester.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* The name of the Deployment and the Service: flagger-loadtester for a release of that name, whose URL stands in Canaries. */}}
{{- define "loadtester.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "loadtester.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "loadtester.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "loadtester.selectorLabels" -}}
app: {{ include "loadtester.fullname" . }}
{{- end }}

{{- define "loadtester.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "loadtester.selectorLabels" . }}
app.kubernetes.io/name: {{ include "loadtester.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* Whether a ServiceAccount is made. */}}
{{- define "loadtester.makesAccount" -}}
{{- if and (not .Values.serviceAccountName) (or .Values.rbac.create .Values.runJob.enabled) }}yes{{ end -}}
{{- end }}

{{/* The account of the pod; empty means the namespace's default one. */}}
{{- define "loadtester.account" -}}
{{- if include "loadtester.makesAccount" . -}}
{{- include "loadtester.fullname" . -}}
{{- else -}}
{{- .Values.serviceAccountName -}}
{{- end -}}
{{- end }}

{{- define "loadtester.subjects" -}}
- kind: ServiceAccount
  name: {{ include "loadtester.account" . | default "default" }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* What run-job needs, and nothing else. */}}
{{- define "loadtester.jobRules" -}}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
{{- end }}

{{/* Namespaces that are served. Jobs demand that somebody says which; the Roles of single namespaces say it already. */}}
{{- define "loadtester.namespaces" -}}
{{- if and .Values.runJob.enabled (eq .Values.runJob.scope "cluster") (not .Values.cmd.namespaceRegexp) }}
{{- fail "runJob.scope=cluster needs cmd.namespaceRegexp: it says in which namespaces Jobs may be run" }}
{{- end }}
{{- default (ternary "." "" .Values.runJob.enabled) .Values.cmd.namespaceRegexp }}
{{- end }}

{{/* The value of app.kubernetes.io/name. It stays flagger: pod selectors are immutable, and an upgrade in place must not meet a changed one. */}}
{{- define "burgee.name" -}}
{{- default "flagger" .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* The name of the Deployment and of all that belongs to it. */}}
{{- define "burgee.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if or (contains "flagger" .Release.Name) (contains "burgee" .Release.Name) -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-burgee" (.Release.Name | trunc 56 | trimSuffix "-") -}}
{{- end -}}
{{- end }}

{{- define "burgee.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "burgee.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "burgee.selectorLabels" -}}
app.kubernetes.io/name: {{ include "burgee.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "burgee.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "burgee.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* Where the Lease lives: -namespace overrides -leader-election-namespace in the binary when it names one, so the Role follows it. */}}
{{- define "burgee.leaseNamespace" -}}
{{- if contains "," (default "" .Values.namespace) -}}
{{- .Release.Namespace -}}
{{- else -}}
{{- default .Release.Namespace .Values.namespace -}}
{{- end -}}
{{- end }}

{{/* RollingUpdate needs a peer that respects the Lease; one replica without leader election may be following a Flagger that holds none. */}}
{{- define "burgee.strategy" -}}
{{- if or .Values.leaderElection.enabled (gt (int .Values.replicaCount) 1) -}}
RollingUpdate
{{- else -}}
Recreate
{{- end -}}
{{- end }}

{{/* The Prometheus that answers the builtin queries: the one beside the operator when there is one. */}}
{{- define "burgee.metricsServer" -}}
{{- if .Values.prometheus.install -}}
http://{{ include "burgee.fullname" . }}-prometheus:9090
{{- else -}}
{{- .Values.metricsServer -}}
{{- end -}}
{{- end }}

{{/* Labels of the Prometheus beside the operator, which must not look like the operator's own. */}}
{{- define "burgee.prometheusLabels" -}}
app.kubernetes.io/name: {{ include "burgee.name" . }}-prometheus
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

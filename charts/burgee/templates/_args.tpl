{{/* The controller's arguments, one list item per line. A flag whose value is empty is left to the binary's default. */}}
{{- define "burgee.args" -}}
- -log-level={{ .Values.logLevel }}
- -metrics-server={{ include "burgee.metricsServer" . }}
{{- with .Values.meshProvider }}
- -mesh-provider={{ . }}
{{- end }}
{{- with .Values.namespace }}
- {{ printf "-namespace=%s" (nospace .) | quote }}
{{- end }}
{{- if .Values.leaderElection.enabled }}
- -enable-leader-election=true
{{- end }}
- -leader-election-namespace={{ include "burgee.leaseNamespace" . }}
- -enable-config-tracking={{ .Values.configTracking.enabled }}
{{- if .Values.noCrossNamespaceRefs }}
- -no-cross-namespace-refs=true
{{- end }}
{{- with .Values.drainDelay }}
- -drain-delay={{ . }}
{{- end }}
{{- if .Values.pauseNewRuns }}
- -pause-new-runs=true
{{- end }}
{{- include "burgee.optionalArgs" . }}
{{- end }}

{{/* Flags that are a plain value or absent. */}}
{{- define "burgee.optionalArgs" -}}
{{- $flags := list
  (list "selector-labels" .Values.selectorLabels)
  (list "ingress-annotations-prefix" .Values.ingressAnnotationsPrefix)
  (list "ingress-class" .Values.ingressClass)
  (list "include-label-prefix" .Values.includeLabelPrefix)
  (list "threadiness" .Values.threadiness)
  (list "allow-addresses" .Values.allowAddresses)
  (list "allowed-hosts" .Values.allowedHosts)
  (list "event-webhook" .Values.eventWebhook)
  (list "cluster-name" .Values.clusterName)
  (list "slack-url" .Values.slack.url)
  (list "slack-user" .Values.slack.user)
  (list "slack-channel" .Values.slack.channel)
  (list "slack-proxy-url" .Values.slack.proxyUrl)
  (list "msteams-url" .Values.msteams.url)
  (list "msteams-proxy-url" .Values.msteams.proxyUrl)
  (list "kubeconfig-qps" .Values.kubeconfigQPS)
  (list "kubeconfig-burst" .Values.kubeconfigBurst)
  (list "kubeconfig-service-mesh" (include "burgee.meshKubeconfig" .))
-}}
{{- range $flags }}
{{- if (last .) }}
- {{ printf "-%s=%v" (first .) (last .) | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "burgee.meshKubeconfig" -}}
{{- with .Values.controlplane.kubeconfig -}}
{{- if .secretName }}/tmp/controlplane/{{ .key }}{{ end -}}
{{- end -}}
{{- end }}

{{/* What the operator may do to the objects that it works with: each verb is one that the code uses. */}}
{{- define "burgee.rules" -}}
- apiGroups: [flagger.app]
  resources: [canaries]
  verbs: [get, list, watch, patch]
- apiGroups: [flagger.app]
  resources: [canaries/status]
  verbs: [patch]
# Owner references that block deletion need it where OwnerReferencesPermissionEnforcement is on.
- apiGroups: [flagger.app]
  resources: [canaries/finalizers]
  verbs: [update]
- apiGroups: [flagger.app]
  resources: [metrictemplates, alertproviders]
  verbs: [get, list, watch]
# Targets and primaries. patch: the target's replicas.
- apiGroups: [apps]
  resources: [deployments, daemonsets]
  verbs: [get, list, watch, create, update, patch]
# The last promoted pod template, kept for a failed promotion.
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, create, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, update]
# Tracked configs and their copies for the primary; Secrets of templates and alert providers.
- apiGroups: [""]
  resources: [configmaps, secrets]
  verbs: [get, list, watch, create, update]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, update]
# patch: the pause annotation of the target's own.
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, list, watch, create, update, patch]
- apiGroups: [networking.istio.io]
  resources: [virtualservices, destinationrules]
  verbs: [get, list, watch, create, update]
- apiGroups: [""]
  resources: [events]
  verbs: [get, create, patch]
{{- end }}

{{/* The subject of every binding. */}}
{{- define "burgee.subjects" -}}
- kind: ServiceAccount
  name: {{ include "burgee.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

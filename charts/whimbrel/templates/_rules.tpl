{{- /* What the operator may do where it works. No Secret at all; of ConfigMaps only `create`,
       for the one that shows a plan. */}}
{{- define "whimbrel.rules" -}}
- apiGroups: [whimbrel.dev]
  resources: [databasemigrations]
  verbs: [get, list, watch, update, patch]
- apiGroups: [whimbrel.dev]
  resources: [databasemigrations/status, databasemigrations/finalizers]
  verbs: [get, update, patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, get, list, watch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
{{- if .Values.podLogs }}
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
{{- end }}
# Health checks, rollouts and the switch of a Service (strategies Rolling and BlueGreen). A Service is
# only patched where its annotation whimbrel.dev/managed-by names the object.
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, patch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get]
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [patch]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end }}

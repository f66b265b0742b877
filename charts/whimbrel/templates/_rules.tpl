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
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end }}

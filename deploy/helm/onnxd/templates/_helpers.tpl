{{/* The name of all objects: the release, unless it is already called onnxd. */}}
{{- define "onnxd.name" -}}
{{- if contains "onnxd" .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-onnxd" .Release.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "onnxd.selector" -}}
app.kubernetes.io/name: onnxd
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "onnxd.labels" -}}
{{ include "onnxd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}
